/* The writer thread: takes the jobs that wait, applies them in one transaction, commits, and tells everybody.
 *
 * While one group is being synced the next one gathers, so the number of commits adapts to the disk by itself. A group
 * is applied again when the map had to grow, and job by job when one of its jobs failed after it had written. */
#include "os/file.h"
#include "store/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

enum { QUEUE_LIMIT = 65536, GROUP_JOBS = 4096 };
#define GROUP_BYTES ((uint64_t)64 << 20)

/* A thread in store_write; lives on its stack. */
typedef struct waiter {
    pthread_cond_t wake;
    bool done;
    forage_status status;
    base_error *error;
} waiter;

typedef struct queued {
    store_job job;
    forage_status (*alone)(store *s, base_error *error); /* instead of the job: runs outside of any transaction */
    waiter *waiter; /* NULL: asynchronous */
    forage_status status;
    bool rejected; /* its own apply failed: it takes no further part */
} queued;

typedef struct queue {
    queued *items;
    size_t count, capacity;
} queue;

struct store_writer {
    store *owner;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t work, room, progress;
    queue coming;   /* guarded by lock; swapped with `taken` */
    queue taken;    /* the writer thread's */
    size_t waiting; /* jobs in both queues that are not settled yet */
    uint64_t submitted, settled;
    bool closing;
};

/* --- Running a group --- */

typedef enum outcome {
    COMMITTED,
    FAILED, /* nothing stored; `status` and `error` say why */
    NO_MAP, /* the map has to grow, then again */
    SPOILT  /* one job failed halfway: nothing stored, the others go one by one */
} outcome;

typedef struct attempt {
    size_t jobs; /* looked at: a prefix of the group */
    forage_status status;
    base_error error;
} attempt;

/* LMDB reports a write that was cut short as EIO: look whether the disk or the limit of this process is reached. */
static bool out_of_space(const store *s) {
    struct statvfs disk;
    struct rlimit limit;
    struct stat info;
    const uint64_t little = 1 << 20;
    if (statvfs(s->path, &disk) == 0 && (uint64_t)disk.f_bavail * disk.f_frsize < little) return true;
    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && stat(s->path, &info) == 0 &&
           (uint64_t)info.st_size + little > limit.rlim_cur;
}

forage_status store_write_error(const store *s, base_error *error, int code, const char *doing) {
    return store_error(error, code == EIO && out_of_space(s) ? ENOSPC : code, doing, s->path);
}

static base_error *error_of(const queued *q, base_error *spare) {
    return q->waiter && q->waiter->error ? q->waiter->error : spare;
}

/* A fault that is not this job's: no other job could have been written either. */
static bool everybodys_fault(int code) { return code != 0 && code != MDB_TXN_FULL && code != MDB_MAP_FULL; }

/* Runs one job. Returns true when the transaction can go on, with or without the job's success. */
static bool apply(store_txn *t, queued *q) {
    base_error spare;
    uint64_t before = t->changes;
    q->status = q->job.apply(t, q->job.self, error_of(q, &spare));
    if (t->fault) {
        if (!q->status) q->status = store_write_error(t->owner, error_of(q, &spare), t->fault, "writing to");
        return false;
    }
    if (!q->status) return true;
    q->rejected = true;
    return t->changes == before;
}

static outcome spoil(const store_txn *t, queued *q, size_t group, attempt *a) {
    if (t->fault == MDB_MAP_FULL) return NO_MAP;
    if (everybodys_fault(t->fault)) {
        a->status = store_write_error(t->owner, &a->error, t->fault, "writing to");
        return FAILED;
    }
    if (t->fault == MDB_TXN_FULL && group == 1) q->rejected = true;
    return SPOILT;
}

/* One transaction over a prefix of the jobs. */
static outcome try_group(store *s, queued *jobs, size_t count, attempt *a) {
    store_txn t = {.owner = s, .writable = true};
    bool any = false;
    a->jobs = 0;
    int code = mdb_txn_begin(s->env, NULL, 0, &t.txn);
    if (code) {
        a->jobs = count;
        a->status = store_write_error(s, &a->error, code, "writing to");
        return FAILED;
    }
    while (a->jobs < count && t.bytes < GROUP_BYTES) {
        queued *q = &jobs[a->jobs++];
        if (q->rejected) continue;
        if (!apply(&t, q)) {
            mdb_txn_abort(t.txn);
            return spoil(&t, q, count, a);
        }
        any = any || !q->rejected;
    }
    if (!any || t.changes == 0) {
        mdb_txn_abort(t.txn);
        return COMMITTED;
    }
    code = mdb_txn_commit(t.txn);
    if (code == MDB_MAP_FULL) return NO_MAP;
    if (code) {
        a->status = store_write_error(s, &a->error, code, "committing to");
        return FAILED;
    }
    return COMMITTED;
}

static void fail_all(queued *jobs, const attempt *a) {
    for (size_t i = 0; i < a->jobs; i++) {
        if (jobs[i].rejected) continue;
        jobs[i].status = a->status;
        if (jobs[i].waiter && jobs[i].waiter->error) *jobs[i].waiter->error = a->error;
    }
}

/* Runs a prefix of the jobs to its end; every job of the prefix has its status then. Returns the prefix's length. */
static size_t run_group(store *s, queued *jobs, size_t count) {
    for (;;) {
        attempt a = {0};
        outcome result = try_group(s, jobs, count, &a);
        if (result == NO_MAP) {
            a.status = store_grow_map(s, 0, &a.error);
            if (!a.status) continue;
            result = FAILED;
        }
        if (result == FAILED) fail_all(jobs, &a);
        if (result != SPOILT) return a.jobs;
        if (count == 1) return 1;
        /* Jobs rejected before it may have failed because of what is now undone: all but the culprit run again. */
        for (size_t i = 0; i + 1 < a.jobs; i++) jobs[i].rejected = false;
        for (size_t i = 0; i < a.jobs; i++)
            if (!jobs[i].rejected) run_group(s, &jobs[i], 1);
        return a.jobs;
    }
}

static void run_alone(store *s, queued *q) {
    base_error spare;
    q->status = q->alone(s, error_of(q, &spare));
}

/* --- The thread --- */

/* How many jobs may go together, from the first. */
static size_t group_of(const queued *jobs, size_t count) {
    size_t n = 0;
    while (n < count && n < GROUP_JOBS && !jobs[n].alone) n++;
    return n;
}

/* Publishes in commit order, then wakes those who wait. */
static void settle(store_writer *w, queued *jobs, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (jobs[i].job.committed) jobs[i].job.committed(jobs[i].job.self, jobs[i].status);
    pthread_mutex_lock(&w->lock);
    for (size_t i = 0; i < count; i++) {
        waiter *one = jobs[i].waiter;
        if (!one) continue;
        one->status = jobs[i].status;
        one->done = true;
        pthread_cond_signal(&one->wake);
    }
    w->waiting -= count;
    w->settled += count;
    pthread_cond_broadcast(&w->room);
    pthread_cond_broadcast(&w->progress);
    pthread_mutex_unlock(&w->lock);
}

/* Swaps the queues. False when the writer is to stop and nothing is left. */
static bool take_jobs(store_writer *w) {
    pthread_mutex_lock(&w->lock);
    while (w->coming.count == 0 && !w->closing) pthread_cond_wait(&w->work, &w->lock);
    queue empty = w->taken;
    empty.count = 0;
    w->taken = w->coming;
    w->coming = empty;
    pthread_mutex_unlock(&w->lock);
    return w->taken.count > 0;
}

static void *write_jobs(void *argument) {
    store_writer *w = argument;
    while (take_jobs(w)) {
        size_t done = 0;
        while (done < w->taken.count) {
            queued *jobs = w->taken.items + done;
            size_t ran = 1;
            if (jobs->alone) run_alone(w->owner, jobs);
            else ran = run_group(w->owner, jobs, group_of(jobs, w->taken.count - done));
            settle(w, jobs, ran);
            done += ran;
        }
    }
    return NULL;
}

store_writer *store_writer_start(store *s) {
    store_writer *w = mem_zalloc(1, sizeof *w);
    w->owner = s;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->work, NULL);
    pthread_cond_init(&w->room, NULL);
    pthread_cond_init(&w->progress, NULL);
    if (pthread_create(&w->thread, NULL, write_jobs, w) != 0) abort();
    return w;
}

void store_writer_stop(store_writer *w) {
    pthread_mutex_lock(&w->lock);
    w->closing = true;
    pthread_cond_broadcast(&w->work);
    pthread_cond_broadcast(&w->room);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    pthread_cond_destroy(&w->work);
    pthread_cond_destroy(&w->room);
    pthread_cond_destroy(&w->progress);
    pthread_mutex_destroy(&w->lock);
    free(w->coming.items);
    free(w->taken.items);
    free(w);
}

/* --- Submitting --- */

static void push(store_writer *w, const queued *item) {
    queue *q = &w->coming;
    q->items = mem_grow(q->items, &q->capacity, q->count + 1, sizeof *q->items);
    q->items[q->count++] = *item;
    w->waiting++;
    w->submitted++;
    pthread_cond_signal(&w->work);
}

static forage_status push_and_wait(store *s, queued item, base_error *error) {
    store_writer *w = s->writer;
    if (!w) return error_set(error, FORAGE_E_READ_ONLY, "%s is open for reading only", s->folder);
    assert(!pthread_equal(pthread_self(), w->thread));
    waiter self = {.wake = PTHREAD_COND_INITIALIZER, .error = error};
    pthread_mutex_lock(&w->lock);
    while (w->waiting >= QUEUE_LIMIT && !w->closing) pthread_cond_wait(&w->room, &w->lock);
    if (w->closing) {
        pthread_mutex_unlock(&w->lock);
        return error_set(error, FORAGE_E_CLOSED, "%s is being closed", s->folder);
    }
    item.waiter = &self;
    push(w, &item);
    while (!self.done) pthread_cond_wait(&self.wake, &w->lock);
    pthread_mutex_unlock(&w->lock);
    return self.status;
}

forage_status store_write(store *s, const store_job *job, base_error *error) {
    return push_and_wait(s, (queued){.job = *job}, error);
}

forage_status store_writer_alone(store *s, forage_status (*task)(store *s, base_error *error), base_error *error) {
    return push_and_wait(s, (queued){.alone = task}, error);
}

bool store_write_async(store *s, const store_job *job) {
    store_writer *w = s->writer;
    if (!w) return false;
    pthread_mutex_lock(&w->lock);
    bool accepted = w->waiting < QUEUE_LIMIT && !w->closing;
    if (accepted) push(w, &(queued){.job = *job});
    pthread_mutex_unlock(&w->lock);
    return accepted;
}

void store_wait(store *s) {
    store_writer *w = s->writer;
    if (!w) return;
    assert(!pthread_equal(pthread_self(), w->thread));
    pthread_mutex_lock(&w->lock);
    uint64_t target = w->submitted;
    while (w->settled < target) pthread_cond_wait(&w->progress, &w->lock);
    pthread_mutex_unlock(&w->lock);
}
