/* The journal's events, one function each, to be called with the run's lock held: what becomes of the run's
 * structures in the journal's (host/journal/events.def). */
#ifndef NASRUN_RUN_RECORD_H
#define NASRUN_RUN_RECORD_H

#include "host/journal/events.h"
#include "host/run/answers.h"
#include "host/run/candidate.h"
#include "host/run/limits.h"
#include "host/train/calibration.h"
#include "host/train/latency.h"

enum status record_run(struct run *run, struct error *err);
/* The file that the starting network of that number is. */
enum status record_start_file(struct run *run, int32_t start, struct error *err);
/* Another version than the one before, or one that writes another format, goes on. */
enum status record_continued(struct run *run, struct error *err);
enum status record_sharing(struct run *run, struct error *err);
/* Of run->rates. */
enum status record_calibration(struct run *run, const struct calibration *calibration, struct error *err);
enum status record_latency(struct run *run, const char *device, const struct latency_rates *found,
                           struct error *err);
enum status record_stage(struct run *run, struct error *err);
/* Of an event's amounts the one that such a budget counts. */
double *record_amount(struct event_budget *amounts, const struct job_budget *budget);

/* Before a candidate's training. */
enum status record_candidate(struct run *run, const struct candidate *candidate, struct error *err);
/* A starting network that is above the limits. */
enum status record_left_out(struct run *run, const char *start, struct error *err);
/* One morph's check: the relative change of the outputs, and, behind one that does not keep the function, the loss on
 * the validation images; NAN behind others. */
enum status record_morph(struct run *run, int32_t id, const char *operation, double difference, double loss,
                         struct error *err);
/* What was reserved: the batch, which may be less than was `wanted`, bytes of the training on a device, and all that
 * the candidate adds to the process. */
enum status record_plan(struct run *run, int32_t id, int32_t batch, int32_t wanted,
                        const struct memory_need *need, struct error *err);
enum status record_epoch(struct run *run, int32_t id, const struct trainer_epoch *epoch, struct error *err);

/* A program whose steps the device could not record, so that they run slower. */
enum status record_unrecorded(struct run *run, int32_t id, const char *program,
                              const struct device_report *report, struct error *err);

struct record_model {
    int32_t id, parent;
    bool final;
    int64_t parameters;
    uint32_t epochs, steps;
    double seconds;
    struct trainer_result validation;
    uint32_t joined;                                       /* as candidate.joined */
    double images_per_second, predicted_images_per_second; /* 0, NAN: unknown */
    double gain, gain_deviation;                           /* NAN: it was not compared */
};
enum status record_model(struct run *run, const struct record_model *model, struct error *err);
enum status record_failed(struct run *run, int32_t id, int32_t parent, bool final, uint32_t steps,
                          const struct error *cause, struct error *err);
/* A test of model `id` that was made, what was found of its answers, and what the model takes for one image. */
enum status record_test(struct run *run, int32_t id, const struct trainer_test *test,
                        const struct answers *answers, const struct limits_latency *latency,
                        struct error *err);
enum status record_baseline(struct run *run, const struct event_baseline *event, double time,
                            struct error *err);

#endif
