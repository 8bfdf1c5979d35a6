/* What keys of search strategies can tell together. */
#include "spec/schema.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status spec_check_unused(const struct job *job, const char *key, const char *because,
                              const struct spec_location locations[SPEC_KEY_COUNT], struct error *err)
{
    const int index = spec_index(key);
    char expected[SPEC_TEXT_MAX], *found = spec_value_text(job, &spec_keys[index]);
    enum status st = ST_OK;
    if (found == NULL)
        return error_memory(err, key, SPEC_TEXT_MAX);
    snprintf(expected, sizeof(expected), "no such key, as %s", because);
    if (strcmp(found, spec_keys[index].default_text) != 0)
        st = spec_refuse(err, ST_RANGE, &locations[index], key, found, expected);
    free(found);
    return st;
}

/* Keys of one strategy, or of two. */
static enum status check_keys(const struct job *job, const struct spec_location *locations, struct error *err)
{
    static const struct {
        const char *key;
        enum job_strategy strategy, other; /* the same twice: there is one */
    } keys[] = {{"search.neighbours", JOB_STRATEGY_HILL_CLIMB, JOB_STRATEGY_HILL_CLIMB},
                {"search.population", JOB_STRATEGY_EVOLUTION, JOB_STRATEGY_EVOLUTION},
                {"search.tournament", JOB_STRATEGY_EVOLUTION, JOB_STRATEGY_EVOLUTION},
                {"search.widths", JOB_STRATEGY_GRID, JOB_STRATEGY_ASHA},
                {"search.depths", JOB_STRATEGY_GRID, JOB_STRATEGY_GRID},
                {"search.rungs", JOB_STRATEGY_ASHA, JOB_STRATEGY_ASHA},
                {"search.eta", JOB_STRATEGY_ASHA, JOB_STRATEGY_ASHA},
                {"search.policy_rate", JOB_STRATEGY_REINFORCE, JOB_STRATEGY_REINFORCE},
                {"search.policy_batch", JOB_STRATEGY_REINFORCE, JOB_STRATEGY_REINFORCE},
                {"search.policy_entropy", JOB_STRATEGY_REINFORCE, JOB_STRATEGY_REINFORCE}};
    const enum job_strategy strategy = job->search.strategy;
    char because[64];
    enum status st = ST_OK;
    snprintf(because, sizeof(because), "search.strategy is \"%s\"", job_strategy_text(strategy));
    for (size_t i = 0; st == ST_OK && i < sizeof(keys) / sizeof(keys[0]); i++)
        if (strategy != keys[i].strategy && strategy != keys[i].other)
            st = spec_check_unused(job, keys[i].key, because, locations, err);
    return st;
}

/* A draw is of the population. */
static enum status check_tournament(const struct job *job, const struct spec_location *locations,
                                    struct error *err)
{
    char found[32], expected[64];
    if (job->search.tournament <= job->search.population)
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int)job->search.tournament);
    snprintf(expected, sizeof(expected), "at most search.population, which is %d",
             (int)job->search.population);
    return spec_refuse(err, ST_RANGE, &locations[spec_index("search.tournament")], "search.tournament", found,
                       expected);
}

/* What makes a grid: two lists, of starting networks that come in all widths. */
static enum status check_grid(const struct job *job, const struct spec_location *locations, struct error *err)
{
    const struct job_search *search = &job->search;
    char clean[SPEC_TEXT_MAX], found[SPEC_TEXT_MAX];
    if (search->widths.count == 0)
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.widths")], "search.widths",
                           "an empty list", "one width or more");
    if (search->depths.count == 0)
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.depths")], "search.depths",
                           "an empty list", "one depth or more");
    if (search->strategy != JOB_STRATEGY_GRID)
        return ST_OK;
    snprintf(found, sizeof(found), "%d", (int)search->width);
    if (search->width != 0)
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.width")], "search.width", found,
                           "0, as search.strategy is \"grid\": search.widths has its widths");
    for (int i = 0; i < search->starts.count; i++) {
        if (!job_start_is_file(search->starts.items[i]))
            continue;
        spec_clean_text(search->starts.items[i], clean);
        snprintf(found, sizeof(found), "\"%.200s\"", clean);
        return spec_refuse(err, ST_RANGE, &locations[spec_index("search.starts")], "search.starts", found,
                           "a network that is no file, as search.strategy is \"grid\"");
    }
    return ST_OK;
}

/* Hill climbing has cosines, unless somebody wants something else. */
static void choose_schedule(struct job *job, const struct spec_location *locations)
{
    if (job->search.strategy == JOB_STRATEGY_HILL_CLIMB &&
        spec_is_default(&locations[spec_index("train.schedule")]))
        job->train.schedule = JOB_SCHEDULE_COSINE;
}

enum status spec_check_strategy(struct job *job, const struct spec_location locations[SPEC_KEY_COUNT],
                                struct error *err)
{
    enum status st = check_keys(job, locations, err);
    if (st == ST_OK)
        st = check_tournament(job, locations, err);
    if (st == ST_OK)
        st = check_grid(job, locations, err);
    choose_schedule(job, locations);
    return st;
}
