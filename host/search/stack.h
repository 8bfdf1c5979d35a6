/* The final network of a search over cells: the one that was found, with more cells a stage and wider, which begins
 * with what that has learnt. It is the found one's child by two kinds of morphs. */
#ifndef NASRUN_SEARCH_STACK_H
#define NASRUN_SEARCH_STACK_H

#include "host/search/search.h"

/* Where the job leaves the depth open it is up to so many times the search's, as long as the final fit has so many
 * epochs; where it leaves the width open it is so many times the search's, if the network can be deeper too. */
enum { STACK_MOST_TIMES = 3, STACK_TIMES_WIDE = 2 };
#define STACK_EPOCHS 6.0

/* Makes of a final fit that goes on from a model, which it holds, that of the larger network; of one of fresh weights
 * nothing. Where the job's depth is above the limits it is as deep as they allow. */
enum status stack_grow(const struct search_setup *setup, const struct search_request *request,
                       struct proposal *proposal, struct error *err);

#endif
