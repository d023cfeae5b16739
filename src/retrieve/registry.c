#include "retrieve/strategy.h"

/* The order is part of the log and of learned states: append only. */
const retrieve_strategy *const retrieve_strategies[RETRIEVE_STRATEGIES] = {
    [RETRIEVE_IS_LEXICAL] = &retrieve_lexical, [RETRIEVE_IS_MEMORY] = &retrieve_memory,
    [RETRIEVE_IS_POPULAR] = &retrieve_popular, [RETRIEVE_IS_FRESH] = &retrieve_fresh,
    [RETRIEVE_IS_RELATED] = &retrieve_related, [RETRIEVE_IS_EXPLORE] = &retrieve_explore,
    [RETRIEVE_IS_PERSONAL] = &retrieve_personal, [RETRIEVE_IS_SEMANTIC] = &retrieve_semantic,
    [RETRIEVE_IS_EXPANSION] = &retrieve_expansion,
};
