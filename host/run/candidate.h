/* Candidates: from a proposal to a trained, journalled model, or a journalled failure. */
#ifndef NASRUN_RUN_CANDIDATE_H
#define NASRUN_RUN_CANDIDATE_H

#include "host/run/run.h"

/* Which of the run's devices. */
struct team {
    int32_t first, count;
};

struct candidate {
    int32_t id, parent; /* parent -1: from fresh weights. A final fit's: the model that it trains further */
    bool final;         /* final fit */
    /* the model whose weights it goes on from, without a morph; -1: none. Of a final fit perhaps an earlier one of the
     * same network */
    int32_t source;
    bool baseline;       /* a final fit without a search (baseline.h) */
    int32_t baseline_of; /* then: the model that it is compared with */
    int32_t start;       /* index into the job's starting networks; -1 */
    struct graph graph;  /* owned */
    struct recipe recipe;
    bool progressive; /* it sees smaller images at first (host/train/progressive.h); of a final fit */
    /* of a child; 0: none are known (a final fit, or one that goes on from its checkpoint) */
    int32_t morph_count;
    struct morph morphs[SEARCH_MAX_MORPHS];
    int32_t operation_count;
    char operations[SEARCH_MAX_MORPHS][SEARCH_OPERATION_LENGTH]; /* in words */
    struct prediction prediction; /* of its score; from the journal the mean alone */
    int32_t observed;             /* run->models when it was proposed */
    struct trainer_limit limit;   /* `seconds` is set when its training begins */
    int32_t batch;
    bool restored;         /* it goes on from its checkpoint; its beginning is in the journal */
    bool alone;            /* it was in training when the engine was killed: nothing else trains beside it */
    struct trainer *ahead; /* prepared ahead (admission.h), on device `ahead_on`; NULL */
    int32_t ahead_on;

    /* trained, or failed; what follows is set. Under run->lock, by who has called candidate_train */
    bool ended;
    bool failed;
    struct trainer_result validation; /* NAN when it failed */
    /* after so many steps it was validated for the last time, to be trained on the validation images too; 0: never */
    uint32_t joined;
    uint32_t steps;
    double images_per_second;          /* of its last epoch; 0: unknown */
    double expected_images_per_second; /* before its training; NAN: unknown */
    double gain, gain_deviation;       /* where its recipe compares it (struct search_model); NAN */
    uint32_t measured_steps;           /* that this was measured over */
    double validation_seconds;         /* of its last evaluation; 0: unknown */
    double beside; /* seconds that it took beside its training: prepared, loaded, saved; 0: unknown */
};

struct candidate *candidate_new(void);            /* NULL when out of memory */
void candidate_free(struct candidate *candidate); /* NULL is allowed */
/* What was proposed; its graph changes owner. */
void candidate_take(struct candidate *candidate, const struct proposal *proposal);
/* Whether it leaves files behind for candidates that go on from it or are compared with it: of where it stood when its
 * learning rate had held, and of its losses. */
bool candidate_leaves_state(const struct candidate *candidate);
struct run_final candidate_as_final(const struct candidate *candidate);
/* One more operation, in words. */
void candidate_say(struct candidate *candidate, const char *text);

/* Whether what went wrong with one candidate is its own affair and recorded as its failure: want of memory, numbers
 * that went astray, a network that this device can't do. All else ends the run, a refused morph as well: it was drawn
 * because it fits. A device that fails ends this process: the supervisor starts another one, and only a candidate with
 * which that happens again is given up (resume.c). */
bool candidate_is_at_fault(enum status st);

/* Inherits or restores its weights, trains, saves, journals how it ended; that it begins was journalled
 * (record_candidate). ST_OK also when the candidate failed by its own fault (candidate_is_at_fault); other errors end
 * the run. */
enum status candidate_train(struct run *run, struct candidate *candidate, struct team team,
                            struct error *err);

#endif
