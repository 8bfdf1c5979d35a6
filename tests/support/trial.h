/* How a test tells a search of candidates. */
#ifndef NASRUN_TESTS_SUPPORT_TRIAL_H
#define NASRUN_TESTS_SUPPORT_TRIAL_H

#include "host/search/search.h"

/* A proposal that is carried out as candidate `id`; and a model as a resumed run would tell of it. */
struct search_trial trial_of_proposal(int32_t id, const struct proposal *proposal);
struct search_trial trial_of_model(const struct search_model *model);

#endif
