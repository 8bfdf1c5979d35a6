/* The search strategies: a row each, from which the choices of search.strategy (schema.def), enum job_strategy (job.h)
 * and the search's table of them (host/search/strategy.h) are made.
 *
 *     X(constant, word, meaning)    JOB_STRATEGY_constant, "word" in a job file, search_word in host/search
 *
 * All before `phases` grow networks from starts and parents; `none`, the last, proposes no candidates. */
#ifndef NASRUN_SPEC_STRATEGIES_H
#define NASRUN_SPEC_STRATEGIES_H

/* clang-format off */
#define SPEC_STRATEGIES(X) \
    X(BAYESIAN, bayesian, "a Gaussian process over architectures") \
    X(GREEDY, greedy, "the best parent so far") \
    X(RANDOM, random, "chance") \
    X(HILL_CLIMB, hill_climb, "the best of search.neighbours changes of a network, then of that") \
    X(EVOLUTION, evolution, "changes of the best of a few of the newest networks (regularised evolution)") \
    X(REINFORCE, reinforce, "changes of the best parent so far that a policy names, which learns from their scores") \
    X(PHASES, phases, "by what the budget pays for, a ladder of short trainings that chooses start, width and " \
                      "learning rate, then one training of that") \
    X(GRID, grid, "starting networks in all of search.widths and search.depths") \
    X(ASHA, asha, "chance over starting networks, widths and hyperparameters, the better ones trained further " \
                  "(asynchronous successive halving)") \
    X(NONE, none, "no search, the one starting network is trained for the whole budget")
/* clang-format on */

/* For the row of search.strategy: its words, and what they mean in one line. */
#define SPEC_STRATEGY_WORD(constant, word, meaning)    SPEC_WORD(STRATEGY_##constant, #word)
#define SPEC_STRATEGY_MEANING(constant, word, meaning) "; " #word ": " meaning

#endif
