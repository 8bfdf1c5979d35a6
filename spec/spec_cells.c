/* What keys of a search over cells can tell together: it changes parents into children, all that it begins with has
 * cells, and its final network is no smaller. */
#include "spec/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_cell(const char *start)
{
    return strcmp(start, "cell") == 0 || strcmp(start, "random_cell") == 0;
}

/* Where the job leaves strategy and starting networks open, they are those of a search over cells. */
static enum status adapt_to_cells(struct job *job, const struct spec_location *locations, struct error *err)
{
    struct job_strings *starts = &job->search.starts;
    if (spec_is_default(&locations[spec_index("search.strategy")]))
        job->search.strategy = JOB_STRATEGY_GREEDY;
    if (!spec_is_default(&locations[spec_index("search.starts")]))
        return ST_OK;
    char *name = strdup("cell");
    if (name == NULL)
        return error_memory(err, "search.starts", sizeof("cell"));
    while (starts->count > 0)
        free(starts->items[--starts->count]);
    starts->items[starts->count++] = name;
    return ST_OK;
}

/* The final network is one of the search's cells, as deep and wide or more. */
static enum status check_final(const struct job *job, const struct spec_location *locations,
                               struct error *err)
{
    const struct job_final *final = &job->final;
    const int32_t narrowest = job->search.width > 0 ? job->search.width : SPEC_WIDTH_UNIT;
    char found[32], expected[96];
    if (final->repeats != 0 && final->repeats < job->search.repeats) {
        snprintf(found, sizeof(found), "%d", (int) final->repeats);
        snprintf(expected, sizeof(expected), "0 or at least the %d of search.repeats",
                 (int)job->search.repeats);
        return spec_refuse(err, ST_RANGE, &locations[spec_index("final.repeats")], "final.repeats", found,
                           expected);
    }
    if (final->width == 0 || (final->width % SPEC_WIDTH_UNIT == 0 && final->width >= narrowest))
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int) final->width);
    snprintf(expected, sizeof(expected), "0 or a multiple of %d, %d or more", SPEC_WIDTH_UNIT,
             (int)narrowest);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("final.width")], "final.width", found, expected);
}

/* By any morphs that fit: those of cells are drawn for it. */
static bool makes_children(enum job_strategy strategy)
{
    return strategy == JOB_STRATEGY_BAYESIAN || strategy == JOB_STRATEGY_GREEDY ||
           strategy == JOB_STRATEGY_RANDOM || strategy == JOB_STRATEGY_HILL_CLIMB ||
           strategy == JOB_STRATEGY_EVOLUTION || strategy == JOB_STRATEGY_REINFORCE;
}

/* Keys that mean something to cells alone. */
static enum status check_no_cells(const struct job *job, const struct spec_location *locations,
                                  struct error *err)
{
    static const char *const keys[] = {"search.repeats", "final.repeats", "final.width"};
    enum status st = ST_OK;
    for (size_t i = 0; st == ST_OK && i < sizeof(keys) / sizeof(keys[0]); i++)
        st = spec_check_unused(job, keys[i], "search.space is \"networks\"", locations, err);
    return st;
}

enum status spec_check_cells(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                             struct error *err)
{
    char found[SPEC_TEXT_MAX];
    enum status st = job->search.space == JOB_SPACE_CELLS ? adapt_to_cells(job, locations, err)
                                                          : check_no_cells(job, locations, err);
    if (st != ST_OK || job->search.space != JOB_SPACE_CELLS)
        return st;
    if (!makes_children(job->search.strategy)) {
        snprintf(found, sizeof(found), "\"%s\"", job_strategy_text(job->search.strategy));
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.strategy")], "search.strategy", found,
                           "a strategy that makes children of parents, as \"greedy\", for search.space is "
                           "\"cells\"");
    }
    for (int i = 0; i < job->search.starts.count; i++) {
        char clean[SPEC_TEXT_MAX];
        if (is_cell(job->search.starts.items[i]))
            continue;
        spec_clean_text(job->search.starts.items[i], clean);
        snprintf(found, sizeof(found), "\"%.200s\"", clean);
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.starts")], "search.starts", found,
                           "\"cell\" or \"random_cell\", as search.space is \"cells\"");
    }
    return check_final(job, locations, err);
}
