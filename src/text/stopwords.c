/* The lists hold what carries grammar and not content: articles, prepositions, pronouns, conjunctions, auxiliaries.
 * Words that are also common content words of titles ("us", "will", "can", "may") are left out. */
#include "text/stopwords.h"

#include "base/hash.h"
#include "text/fold.h"

#include <pthread.h>
#include <string.h>

static const struct {
    text_language language;
    const char *words; /* space-separated, lower case, with accents */
} lists[] = {
    {TEXT_EN,
     "a an the and or but nor if then than so as of at by for from in into on onto to with without about above after "
     "against among before behind below between beyond during over per since through toward towards under until "
     "upon within is am are was were be been being do does did doing have has had having would could should must "
     "i me my mine myself you your yours yourself he him his himself she her hers herself it its itself we our ours "
     "they them their theirs this that these those who whom whose which what where when why how there here not no "
     "also because while dont doesnt didnt isnt arent wasnt"},
    {TEXT_DE,
     "der die das den dem des ein eine einen einem einer eines kein keine keinen keiner und oder aber denn sondern "
     "doch weil dass daß ob wenn als wie wo was wer wen wem wann warum in im an am auf aus bei beim mit nach von vom "
     "vor zu zum zur über unter für durch gegen ohne um bis seit zwischen ich du er sie es wir ihr mich dich sich "
     "mir dir ihm ihn ihnen uns euch mein meine dein seine sein ihre ihren unser unsere bin bist ist sind seid war "
     "waren wird werden wurde wurden worden hat habe haben hatte hatten nicht nur auch noch so dann da hier dort man "
     "diese dieser dieses diesen diesem welche welcher sehr schon"},
    {TEXT_FR,
     "le la les l un une des du de d au aux et ou mais donc or ni car que qu qui quoi dont où dans en sur sous par "
     "pour avec sans chez vers entre depuis pendant je tu il elle on nous vous ils elles me te se lui leur leurs moi "
     "toi eux ce cet cette ces c ça cela mon ma mes ton ta tes son sa ses notre nos votre vos ne n pas plus y à "
     "est es sont était étaient être été suis sommes êtes soit ai as a avons avez ont avait avaient avoir eu fut "
     "si comme très quand comment pourquoi aussi même"},
    {TEXT_ES,
     "el la los las lo un una unos unas al del de a en con por para sin sobre entre hasta desde hacia según y e o u "
     "ni pero sino que quien quienes cual cuales cuyo donde cuando como qué quién cómo cuándo dónde yo tú él ella "
     "ello nosotros vosotros ellos ellas usted ustedes me te se nos os le les mi mis tu tus su sus nuestro nuestra "
     "vuestro este esta estos estas ese esa esos esas esto eso aquel aquella no sí es son era eran fue fueron ser "
     "sido está están estaba estar he ha han había haber hay muy más también ya porque si"},
    {TEXT_IT,
     "il lo la i gli le l un uno una di del dello della dei degli delle a al allo alla ai agli alle da dal dallo "
     "dalla dai dagli dalle in nel nello nella nei negli nelle su sul sullo sulla sui sugli sulle con per tra fra e "
     "ed o ma né se che chi cui non come dove quando perché io tu lui lei noi voi loro mi ti ci vi si mio mia miei "
     "tuo tua suo sua suoi sue nostro nostra vostro questo questa questi queste quello quella quelli è sono era "
     "erano essere stato stata ho ha hai hanno abbiamo aveva avere più anche quale cosa dell nell all dall sull"},
    {TEXT_PT,
     "o a os as um uma uns umas de do da dos das em no na nos nas num numa ao à aos às por pelo pela pelos pelas para "
     "com sem sobre entre até desde e ou mas nem que quem qual quais cujo onde quando como porque se eu tu ele ela "
     "nós vós eles elas você vocês me te lhe lhes mim meu minha meus minhas teu tua seu sua seus suas nosso nossa "
     "este esta estes estas esse essa isso isto aquele aquela aquilo não sim é são era eram foi foram ser sido está "
     "estão estava estar tem têm tinha ter há havia muito mais também já só"},
    {TEXT_NL,
     "de het een en of maar want dus dat die dit deze wie wat waar wanneer hoe waarom in op aan bij van voor met naar "
     "uit om over onder tot tegen door zonder tussen tijdens na te ten ter ik jij je u hij zij ze het wij we jullie "
     "mij me jou hem haar hen hun ons onze mijn jouw zijn is was waren ben bent wordt worden werd werden geworden "
     "heeft heb hebben had hadden niet geen ook nog wel er daar hier als dan zo zich toen zou zouden kan kunnen"},
    {TEXT_SV,
     "en ett den det de dem och eller men att som om i på av för till från med utan hos vid mot under över mellan "
     "genom efter innan jag du han hon vi ni mig dig honom henne oss er sig min mitt mina din ditt dina sin sitt sina "
     "hans hennes vår vårt våra deras denna detta dessa är var vara varit blir blev bli blivit har hade ha inte ej "
     "icke också så när där här vad vem vilken vilket vilka hur varför än nu då eftersom skulle kan"},
    {TEXT_DA,
     "en et den det de dem og eller men at som der om i på af for til fra med uden hos ved mod under over mellem "
     "gennem efter før jeg du han hun vi i mig dig ham hende os jer sig min mit mine din dit dine sin sit sine hans "
     "hendes vores deres denne dette disse er var være været bliver blev blive har havde have ikke også så når hvor "
     "her hvad hvem hvilken hvilket hvordan hvorfor end nu da fordi skulle kan"},
    {TEXT_NO,
     "en et ei den det de dem og eller men at som om i på av for til fra med uten hos ved mot under over mellom "
     "gjennom etter før jeg du han hun vi dere meg deg ham henne oss seg min mitt mi mine din ditt dine sin sitt sine "
     "hans hennes vår vårt våre deres denne dette disse er var være vært blir ble bli blitt har hadde ha ikke ikkje "
     "også så når hvor her hva hvem hvilken hvilket hvordan hvorfor enn nå da fordi skulle kan eg ein"},
    {TEXT_FI,
     "ja tai mutta vaan sekä että jos kun kuin koska vaikka niin myös ei en et emme ette eivät on ole oli olivat olla "
     "ollut ovat olen olet olemme olette minä sinä hän me te he se ne minun sinun hänen meidän teidän heidän sen "
     "niiden minua sinua häntä sitä niitä tämä tuo nämä nuo tämän tuon näiden joka jotka jonka joiden mikä mitä mitkä "
     "kuka ketä missä mistä mihin miten miksi milloin siinä siitä siihen tässä tästä vain nyt jo kanssa ilman ennen "
     "jälkeen kautta"},
    {TEXT_RU,
     "и в во не что он на я с со как а то все она так его но да ты к у же вы за бы по только ее её мне было вот от "
     "меня еще ещё нет о об из ему когда даже ну ли если уже или ни быть был была были него до вас опять вам ведь там "
     "потом себя ей они тут где есть надо ней для мы тебя их чем сам чтоб без будто чего тоже себе под будет кто этот "
     "того потому этого какой ним здесь этом мой тем чтобы нее при об это эта эти через над про эту моя свою этой"},
    {TEXT_CA,
     "el la els les un una uns unes de del dels al als a en amb per i o però ni que qui què on quan com si no és són "
     "era eren ser estat està ha han haver he hi ho jo tu ell ella nosaltres ells em et es ens us li el meu teu seu "
     "seva aquest aquesta aquests aquestes això molt més també perquè sense sobre entre fins des"},
    {TEXT_RO,
     "și în la de pe cu din pentru că să se nu este sunt era fost fi a al ai ale un o unei unui care ce cine unde când "
     "cum dar sau iar mai eu tu el ea noi voi ei ele îl îi le lui lor meu său sa prin după până fără între acest "
     "această aceste acel acea am are au avea foarte dacă"},
    {TEXT_HU,
     "a az egy és vagy de hogy nem ne is ha mint csak már még meg ez azt ezt ezek azok aki ami amely mely mi ki hol "
     "mikor miért hogyan én te ő mi ti ők volt van vannak lesz lenne volna el be fel le ki után előtt alatt között "
     "szerint által ezen azon minden nagyon pedig sem"},
    {TEXT_TR,
     "ve veya ya ile bir bu şu o da de ki mi mı mu mü için gibi kadar ama fakat çünkü değil ne nasıl neden kim nerede "
     "ben sen biz siz onlar bana sana ona beni seni onu benim senin onun var yok olan olarak oldu olduğu her çok daha "
     "en sonra önce göre ise diye"},
    {TEXT_EL,
     "ο η το οι τα του της των τον την τους τις και κι ή αλλά όμως ότι πως που ποιος ποια ποιο τι πού πότε γιατί να "
     "θα δεν μην μη σε στο στη στην στον στους στις στα από με για προς χωρίς μετά πριν κατά είναι ήταν είμαι έχει "
     "έχουν είχε εγώ εσύ αυτός αυτή αυτό αυτοί αυτά μου σου μας σας ένας μια μία ένα αν όταν"},
    {TEXT_ID,
     "yang dan di ke dari untuk dengan pada dalam adalah ini itu tidak akan juga oleh atau saya anda dia mereka kami "
     "kita sebagai karena bahwa ada telah sudah dapat seperti lebih tetapi namun bagi antara para tersebut"},
    {TEXT_HI, "है हैं के का की में से को और यह वह पर नहीं था थे थी ने भी एक इस लिए कि तो जो ही साथ कर हो"},
    {TEXT_NE, "छ छन् को का की मा ले लाई र हो यो त्यो पनि गर्न भएको छैन हुन् बाट तर म हामी उनी एक"},
    {TEXT_YI, "און איז די דער דאָס פֿון אין אויף צו מיט ניט נישט איך דו ער זי מיר איר זיי וואָס ווי אַז אַ אַן זײַן"},
};

enum { SLOTS = 4096 }; /* about 1,450 distinct spellings */
typedef struct entry {
    slice word; /* empty: a free slot */
    uint64_t languages;
} entry;
static entry table[SLOTS];
static arena spellings; /* lives as long as the process */
static pthread_once_t built = PTHREAD_ONCE_INIT;

static entry *find(slice word) {
    size_t at = (size_t)hash64(word.data, word.size, 0) % SLOTS;
    while (table[at].word.size && !slice_equal(table[at].word, word)) at = (at + 1) % SLOTS;
    return &table[at];
}

static void add(slice word, text_language language) {
    entry *e = find(word);
    if (!e->word.size) e->word = arena_slice(&spellings, word);
    e->languages |= (uint64_t)1 << language;
}

static void build(void) {
    arena_init(&spellings, 0);
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        for (const char *at = lists[i].words; *at;) {
            size_t size = strcspn(at, " ");
            text_folded word;
            text_fold_word((slice){at, size}, TEXT_ANY, &word);
            add((slice){at, size}, lists[i].language);
            add((slice){word.folded, word.folded_size}, lists[i].language);
            at += size + (at[size] == ' ');
        }
    }
}

uint64_t text_stopword_languages(slice word) {
    pthread_once(&built, build);
    return word.size ? find(word)->languages : 0;
}
