/* naspredict RUN: classifies images with a run's model. */
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/predictor.h"
#include "tools/predict/pipeline.h"

#include <unistd.h>

static enum status check_top(const struct predict_options *options, const struct model *model,
                             struct error *err)
{
    if (options->top <= model->about.classes)
        return ST_OK;
    return error_set(err, ST_RANGE, "--top: found %d, expected at most the model's %d classes",
                     (int)options->top, (int)model->about.classes);
}

static enum status predict(const struct predict_options *options, struct pipeline_count *count,
                           struct error *err)
{
    struct model model = {0};
    struct source source = {0};
    struct answer_style style = {.format = options->format,
                                 .top = options->top,
                                 .all = options->all,
                                 .truth = options->data != NULL,
                                 .shown = isatty(STDOUT_FILENO),
                                 .about = &model.about};
    enum status st = predictor_load(options->run, &model, err);
    if (st == ST_OK)
        st = check_top(options, &model, err);
    if (st == ST_OK)
        st = source_open(&source, options, &model, err);
    if (st == ST_OK)
        st = pipeline_run(options, &source, &model, &style, stdout, count, err);
    source_close(&source);
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
