#include "host/run/record.h"

#include "host/base/clock.h"
#include "host/base/version.h"
#include "host/journal/event_write.h"
#include "host/net/cost.h"
#include "host/net/serialise.h"
#include "host/run/store.h"
#include "host/run/testing.h"
#include "host/search/budget.h"
#include "spec/spec.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { DATE_LENGTH = 24, HOST_LENGTH = 128 };

/* The version of a library that the devices compute with; NULL when they do not. */
static const char *library_version(const struct run *run, const char *library)
{
    return strcmp(run->device_info.library, library) == 0 ? run->device_info.versions : NULL;
}

/* The devices' names, the first `count`; malloc'd, NULL when out of memory. */
static const char **device_names(const struct run *run, int32_t count)
{
    const char **names = malloc((size_t)count * sizeof(*names));
    for (int32_t k = 0; names != NULL && k < count; k++)
        names[k] = run->devices.items[k].name;
    return names;
}

enum status record_run(struct run *run, struct error *err)
{
    char fingerprint[DATA_FINGERPRINT_LENGTH];
    const struct dataset *data = &run->data;
    struct data_sizes sizes;
    enum status st = data_class_sizes(data, &sizes, err);
    if (st != ST_OK)
        return st;
    const char **names = device_names(run, run->devices.count);
    char *job = spec_run_text(run->job);
    if (names == NULL || job == NULL) {
        free(names);
        free(job);
        return error_memory(err, "device names", (size_t)run->devices.count * sizeof(*names));
    }
    data_fingerprint_text(data, NULL, fingerprint);
    const struct event_run event = {
        .version = NASRUN_VERSION,
        .format = EVENT_FORMAT,
        .seed = (int64_t)run->job->seed,
        .job = job,
        .dataset = {.fingerprint = fingerprint,
                    .class_names = {(const char *const *)data->class_names, data->classes},
                    .train = data->sample_count[SPLIT_TRAIN],
                    .validation = data->sample_count[SPLIT_VALIDATION],
                    .test = data->sample_count[SPLIT_TEST],
                    .image = {data->channels, data->height, data->width},
                    .skipped = data->skipped,
                    .few = sizes.few,
                    .least = sizes.least,
                    .least_class = data->class_names[sizes.least_class],
                    .most = sizes.most,
                    .most_class = data->class_names[sizes.most_class],
                    .labels = data->label_sets != NULL ? EVENT_LABELS_SEVERAL : NULL,
                    .policy = data->policy},
        .devices = {names, run->devices.count},
        .libraries = {.onednn = library_version(run, "onednn"),
                      .cjson = cJSON_Version(),
                      .cuda = library_version(run, "cuda")},
        .precision = devices_precision_word(&run->devices),
    };
    st = event_write_run(&run->journal, &event, run_time(run), err);
    free(names);
    free(job);
    return st;
}

enum status record_start_file(struct run *run, int32_t start, struct error *err)
{
    struct start_file *file = &run->files.items[start];
    const struct event_start_file event = {.file = file->path,
                                           .hash = file->hash,
                                           .keeps_head = file->keeps_head,
                                           .name = file->origin.name[0] != '\0' ? file->origin.name : NULL,
                                           .license =
                                               file->origin.license[0] != '\0' ? file->origin.license : NULL};
    enum status st = event_write_start_file(&run->journal, &event, run_time(run), err);
    for (int32_t i = 0; i < run->files.count; i++) { /* the baseline's may be one of the search's, too */
        const char *other = run->files.items[i].path;
        if (st == ST_OK && other != NULL && strcmp(other, file->path) == 0)
            run->files.items[i].recorded = true;
    }
    return st;
}

enum status record_continued(struct run *run, struct error *err)
{
    const struct event_continued event = {.version = NASRUN_VERSION, .format = EVENT_FORMAT};
    return event_write_continued(&run->journal, &event, run_time(run), err);
}

enum status record_sharing(struct run *run, struct error *err)
{
    const char **names = device_names(run, run->devices.workers);
    if (names == NULL)
        return error_memory(err, "device names", (size_t)run->devices.workers * sizeof(*names));
    const struct event_workers event = {.per_device = run->sharing.workers,
                                        .alone = run->sharing.alone,
                                        .together = run->sharing.together,
                                        .devices = {names, run->devices.workers}};
    enum status st = event_write_workers(&run->journal, &event, run_time(run), err);
    free(names);
    return st;
}

enum status record_calibration(struct run *run, const struct calibration *calibration, struct error *err)
{
    const struct cost_rates *rates = &calibration->rates;
    const struct event_calibration event = {.networks = calibration->networks,
                                            .error = calibration->error,
                                            .measured = run->calibrated ? run->seconds_per_image : NAN,
                                            .beside = run->calibrated ? run->beside : NAN,
                                            .evaluation =
                                                run->evaluation_factor > 0.0 ? run->evaluation_factor : NAN,
                                            .batch = rates->batch,
#define UNIT(NAME, name, meaning) .name = rates->seconds[COST_##NAME],
                                            COST_UNITS(UNIT)
#undef UNIT
    };
    return event_write_calibration(&run->journal, &event, run_time(run), err);
}

enum status record_latency(struct run *run, const char *device, const struct latency_rates *found,
                           struct error *err)
{
    const struct event_latency event = {.device = device,
                                        .networks = found->networks,
                                        .error = found->error,
#define UNIT(NAME, name, meaning) .name = found->rates.seconds[COST_##NAME],
                                        COST_UNITS(UNIT)
#undef UNIT
    };
    return event_write_latency(&run->journal, &event, run_time(run), err);
}

double *record_amount(struct event_budget *amounts, const struct job_budget *budget)
{
    if (budget->steps.count > 0)
        return &amounts->steps;
    return budget->models.count > 0 ? &amounts->models : &amounts->seconds;
}

enum status record_stage(struct run *run, struct error *err)
{
    struct event_stage event = {.stage = run->stage, .budget = {NAN, NAN, NAN}};
    *record_amount(&event.budget, &run->job->budget) = budget_total(&run->job->budget, run->stage);
    return event_write_stage(&run->journal, &event, run_time(run), err);
}

enum status record_candidate(struct run *run, const struct candidate *candidate, struct error *err)
{
    const char *operations[SEARCH_MAX_MORPHS];
    const struct recipe_policy *policy = &candidate->recipe.policy;
    double tokens[RECIPE_TOKENS];
    const struct recipe usual = recipe_usual();
    const struct cost cost = cost_of_graph(&candidate->graph);
    cJSON *graph = graph_to_json(&candidate->graph);
    if (graph == NULL)
        return error_memory(err, "graph", 0);
    for (int32_t i = 0; i < candidate->operation_count; i++)
        operations[i] = candidate->operations[i];
    for (int32_t i = 0; i < policy->count; i++)
        tokens[i] = policy->tokens[i];
    const struct event_candidate event = {
        .id = candidate->id,
        .parent = candidate->parent,
        .stage = run->stage,
        .operations = {operations, candidate->operation_count},
        .start = candidate->start >= 0 ? start_files_name(run->job, candidate->start) : NULL,
        .final = candidate->final,
        .baseline_of = candidate->baseline ? candidate->baseline_of : -1,
        .expected = candidate->prediction.mean,
        .budget = candidate->recipe.budget != usual.budget ? candidate->recipe.budget : NAN,
        .batches_of = candidate->recipe.batches_of,
        .state_of = candidate->recipe.goes_on ? candidate->parent : -1,
        .compared_with = candidate->recipe.compared_with,
        .fresh = candidate->recipe.fresh,
        .shrink = candidate->recipe.shrink,
        .prior = candidate->recipe.prior,
        .policy_tokens = {tokens, policy->count},
        .policy_entropy = policy->entropy,
        .policy_baseline = policy->baseline,
        .observed = candidate->final ? -1 : candidate->observed,
        .graph = graph,
        .parameters = cost.parameters,
        .train_flops = cost.train_flops,
        .flops = cost.forward_flops,
#define HYPERPARAMETER(name) .name = candidate->recipe.hyperparameters.name,
        RECIPE_HYPERPARAMETERS(HYPERPARAMETER)
#undef HYPERPARAMETER
    };
    enum status st = event_write_candidate(&run->journal, &event, run_time(run), err);
    cJSON_Delete(graph);
    return st;
}

enum status record_left_out(struct run *run, const char *start, struct error *err)
{
    const struct event_left_out event = {.start = start};
    return event_write_left_out(&run->journal, &event, run_time(run), err);
}

enum status record_morph(struct run *run, int32_t id, const char *operation, double difference, double loss,
                         struct error *err)
{
    const struct event_morph event = {
        .id = id, .operation = operation, .difference = difference, .loss = loss};
    return event_write_morph(&run->journal, &event, run_time(run), err);
}

enum status record_plan(struct run *run, int32_t id, int32_t batch, int32_t wanted,
                        const struct memory_need *need, struct error *err)
{
    const struct event_plan event = {.id = id,
                                     .batch = batch,
                                     .wanted = batch < wanted ? wanted : -1,
                                     .device_bytes = (int64_t)need->training,
                                     .process_bytes = (int64_t)need->added};
    return event_write_plan(&run->journal, &event, run_time(run), err);
}

enum status record_epoch(struct run *run, int32_t id, const struct trainer_epoch *epoch, struct error *err)
{
    const struct event_epoch event = {
        .id = id,
        .epoch = epoch->epoch,
        .step = epoch->step,
        .loss = epoch->train.loss,
        .accuracy = epoch->train.accuracy,
        .validation_loss = epoch->validation.loss,
        .validation_accuracy = epoch->validation.accuracy,
        .learning_rate = epoch->learning_rate,
        .seconds = epoch->seconds,
        .images_per_second = epoch->images_per_second,
    };
    return event_write_epoch(&run->journal, &event, run_time(run), err);
}

enum status record_unrecorded(struct run *run, int32_t id, const char *program,
                              const struct device_report *report, struct error *err)
{
    const struct event_unrecorded event = {
        .id = id, .program = program, .failures = report->failures, .reason = report->reason};
    return event_write_unrecorded(&run->journal, &event, run_time(run), err);
}

enum status record_model(struct run *run, const struct record_model *model, struct error *err)
{
    const struct event_model event = {
        .id = model->id,
        .parent = model->parent,
        .final = model->final,
        .validation_loss = model->validation.loss,
        .validation_accuracy = model->validation.accuracy,
        .parameters = model->parameters,
        .epochs = model->epochs,
        .steps = model->steps,
        .seconds = model->seconds,
        .validated = model->joined > 0 ? (int64_t)model->joined : -1,
        .images_per_second = model->images_per_second > 0.0 ? model->images_per_second : NAN,
        .predicted_images_per_second = model->predicted_images_per_second,
        .gain = model->gain,
        .gain_deviation = model->gain_deviation,
        .hash = store_hash(run, model->id, RUN_MODEL),
        .losses_hash = store_hash(run, model->id, RUN_LOSSES),
    };
    return event_write_model(&run->journal, &event, run_time(run), err);
}

enum status record_failed(struct run *run, int32_t id, int32_t parent, bool final, uint32_t steps,
                          const struct error *cause, struct error *err)
{
    const struct event_failed event = {.id = id,
                                       .parent = parent,
                                       .final = final,
                                       .steps = steps,
                                       .reason = status_name(cause->status),
                                       .message = cause->message};
    memcpy(run->failure, cause->message, sizeof(run->failure));
    return event_write_failed(&run->journal, &event, run_time(run), err);
}

/* As the event has them: malloc'd, NULL where there are none. */
static enum status threshold_numbers(const struct answers *answers, int32_t classes, double **numbers,
                                     struct error *err)
{
    *numbers = NULL;
    if (answers->threshold_images == NULL)
        return ST_OK;
    *numbers = malloc((size_t)classes * sizeof(**numbers));
    if (*numbers == NULL)
        return error_memory(err, "test", (size_t)classes * sizeof(**numbers));
    for (int32_t k = 0; k < classes; k++)
        (*numbers)[k] = answers->threshold_images[k];
    return ST_OK;
}

enum status record_test(struct run *run, int32_t id, const struct trainer_test *test,
                        const struct answers *answers, const struct limits_latency *latency,
                        struct error *err)
{
    const struct job_budget *budget = &run->job->budget;
    const bool averaged = test->views > 1, several = answers->label_thresholds != NULL,
               priced = run->job->report.cost_per_hour > 0.0,
               counted = run->energy.spent > 0.0; /* one that stands still is broken */
    const int32_t classes = run->data.classes;
    char *right = job_has_baseline(run->job) ? testing_right_text(test->right, test->count) : NULL;
    char date[DATE_LENGTH], host[HOST_LENGTH] = "";
    if (job_has_baseline(run->job) && right == NULL)
        return error_memory(err, "test", (size_t)test->count);
    double *threshold_images = NULL;
    enum status st = threshold_numbers(answers, classes, &threshold_images, err);
    if (st != ST_OK) {
        free(right);
        return st;
    }
    clock_date(date, sizeof(date));
    gethostname(host, sizeof(host) - 1); /* one that is too long is cut */
    const struct event_test event = {
        .stage = run->stage,
        .id = id,
        .accuracy = test->result.accuracy,
        .loss = test->result.loss,
        .views = averaged ? test->views : -1,
        .plain_accuracy = averaged ? test->plain.accuracy : NAN,
        .plain_loss = averaged ? test->plain.loss : NAN,
        .confusion = {test->confusion, several ? 0 : classes},
        .label_counts = {answers->labels.counts, several ? classes : 0, LABELS_COUNTS},
        .label_counts_at_half = {test->confusion, several ? classes : 0, LABELS_COUNTS},
        .label_thresholds = {answers->label_thresholds, several ? classes : 0},
        .threshold_images = {threshold_images, several ? classes : 0},
        .exact = several ? (int32_t)answers->labels.exact : -1,
        .image_precision = several ? answers->labels.by_image.precision : NAN,
        .image_recall = several ? answers->labels.by_image.recall : NAN,
        .image_f1 = several ? answers->labels.by_image.f1 : NAN,
        .budget_seconds = budget->seconds.count > 0 ? budget_total(budget, run->stage) : NAN,
        .elapsed_seconds = run_time(run) - run->aside,
        .models = run->models,
        .temperature = (double)answers->temperature,
        .plain_temperature = (double)answers->plain_temperature,
        .calibrated_by = answers->calibrated_by,
        .calibrated_loss = answers->after.loss,
        .calibration_error = answers->before.calibration_error,
        .calibrated_error = answers->after.calibration_error,
        .top5 = answers->after.top,
        .published = run->calibration.hash,
        .predictions = answers->predictions_hash,
        .date = date,
        .host = host,
        .max_parameters = run->limits.max_parameters > 0 ? run->limits.max_parameters : -1,
        .max_flops = run->limits.max_flops > 0.0 ? run->limits.max_flops : NAN,
        .max_latency_ms = run->limits.max_latency > 0.0 ? run->job->search.max_latency_ms : NAN,
        .predicted_latency_ms = 1e3 * latency->predicted,
        .latency_ms = 1e3 * latency->seconds,
        .latency_device = latency->device[0] != '\0' ? latency->device : NULL,
        .cost_per_hour = priced ? run->job->report.cost_per_hour : NAN,
        .currency = priced ? run->job->report.currency : NULL,
        .energy = counted ? run->energy.spent : NAN,
        .energy_source = counted ? energy_source(run->energy.meter) : NULL,
        .right = right,
    };
    st = event_write_test(&run->journal, &event, run_time(run), err);
    free(threshold_images);
    free(right);
    return st;
}

enum status record_baseline(struct run *run, const struct event_baseline *event, double time,
                            struct error *err)
{
    return event_write_baseline(&run->journal, event, time, err);
}
