/* naspredict RUN: classifies images with a run's model. */
#include "host/base/text.h"
#include "host/report/report.h"
#include "host/report/thresholds.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/predictor.h"
#include "tools/predict/pipeline.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { NAME_BYTES = 256 };

static bool same_classes(const struct predictions *predictions, const struct model_about *about)
{
    bool same = predictions->classes == about->classes &&
                (predictions->label_sets != NULL) == (about->label_thresholds != NULL);
    for (int32_t k = 0; same && k < about->classes; k++)
        same = strcmp(predictions->class_names[k], about->class_names[k]) == 0;
    return same;
}

static enum status check_top(const struct predict_options *options, const struct model *model,
                             struct error *err)
{
    if (options->top <= model->about.classes)
        return ST_OK;
    return error_set(err, ST_RANGE, "--top: found %d, expected at most the model's %d classes",
                     (int)options->top, (int)model->about.classes);
}

/* By RUN/predictions.csv. Classes that can't reach the precision are named. */
static enum status fit_thresholds(const struct predict_options *options, const struct model_about *about,
                                  double *thresholds, struct error *err)
{
    struct predictions predictions = {0};
    char *path = predictions_path(options->run, -1), name[NAME_BYTES];
    if (path == NULL)
        return error_memory(err, options->run, strlen(options->run));
    enum status st = predictions_read(path, &predictions, err);
    if (st == ST_OK && !same_classes(&predictions, about))
        st = error_set(err, ST_FORMAT, "%s: its classes are not the model's", path);
    if (st == ST_OK && !report_knows_predictions(options->run, about->id, predictions.hash))
        st = error_set(err, ST_FORMAT, "%s: by the journal it is not what a stage wrote of this model", path);
    if (st == ST_OK && thresholds_fit(&predictions, options->views > 0 ? options->views : about->views,
                                      options->precision, thresholds, err) != ST_OK)
        st = error_prefix(err, "--precision: %s", path);
    for (int32_t k = 0; st == ST_OK && k < about->classes; k++)
        if (isinf(thresholds[k]))
            fprintf(stderr,
                    "naspredict: no image will get the class %s: at no probability its answers to validation "
                    "images have a precision of %g\n",
                    text_shown(about->class_names[k], name, sizeof(name)), options->precision);
    predictions_free(&predictions);
    free(path);
    return st;
}

/* thresholds[classes] of what was asked for, malloc'd, or else the model's own; NULL when it has none either. */
static enum status make_thresholds(const struct predict_options *options, const struct model_about *about,
                                   double **thresholds, struct error *err)
{
    const bool asked = options->threshold > 0.0 || options->precision > 0.0;
    *thresholds = NULL;
    if (!asked && about->label_thresholds == NULL)
        return ST_OK;
    *thresholds = malloc((size_t)about->classes * sizeof(**thresholds));
    if (*thresholds == NULL)
        return error_memory(err, "thresholds", (size_t)about->classes * sizeof(**thresholds));
    for (int32_t k = 0; k < about->classes; k++)
        (*thresholds)[k] = asked ? options->threshold : about->label_thresholds[k];
    return options->precision > 0.0 ? fit_thresholds(options, about, *thresholds, err) : ST_OK;
}

static enum status predict(const struct predict_options *options, struct pipeline_count *count,
                           struct error *err)
{
    struct model model = {0};
    struct source source = {0};
    double *thresholds = NULL;
    struct answer_style style = {.format = options->format,
                                 .top = options->top,
                                 .all = options->all,
                                 .data = options->data != NULL ? &source.data : NULL,
                                 .shown = isatty(STDOUT_FILENO),
                                 .about = &model.about};
    enum status st = predictor_load(options->run, &model, err);
    if (st == ST_OK)
        st = check_top(options, &model, err);
    if (st == ST_OK)
        st = make_thresholds(options, &model.about, &thresholds, err);
    style.thresholds = thresholds;
    if (st == ST_OK)
        st = source_open(&source, options, &model, err);
    if (st == ST_OK)
        st = pipeline_run(options, &source, &model, &style, count, err);
    source_close(&source);
    free(thresholds);
    model_free(&model);
    return st;
}

int main(int argc, char **argv)
{
    struct predict_options options = options_default();
    struct pipeline_count count = {0};
    struct command_line line;
    struct error err;
    int status;

    if (!arguments_read(&naspredict_command, argc, argv, options_take, &options, &line, &status))
        return status;
    enum status st = options_finish(&options, &line, &err);
    if (st == ST_OK)
        st = predict(&options, &count, &err);
    if (st != ST_OK)
        fprintf(stderr, "naspredict: %s\n", err.message);
    if (st != ST_OK || (count.failed > 0 && (count.classified == 0 || options.stop)))
        return COMMAND_ERROR;
    return count.failed > 0 ? COMMAND_SOME_FAILED : COMMAND_DONE;
}
