#include "tools/predict/options.h"

#include "host/device/views.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct predict_options options_default(void)
{
    return (struct predict_options){.split = SPLIT_TEST, .top = 1, .device = "cpu"};
}

/* What the option has for a value, and what was expected. */
static enum status wrong(const struct command_line *line, const char *name, const char *expected,
                         struct error *err)
{
    return error_set(err, ST_RANGE, "--%s: found \"%.40s\", expected %s", name, line->value, expected);
}

static enum status read_whole(const struct command_line *line, const char *name, int32_t most,
                              const char *expected, int32_t *whole, struct error *err)
{
    char *end;
    const long value = strtol(line->value, &end, 10);
    if (*line->value < '0' || *line->value > '9' || *end != '\0' || value < 1 || value > most)
        return wrong(line, name, expected, err);
    *whole = (int32_t)value;
    return ST_OK;
}

static enum status read_share(const struct command_line *line, const char *name, double *share,
                              struct error *err)
{
    char *end;
    const double value = strtod(line->value, &end);
    if (*line->value == '\0' || *end != '\0' || !(value > 0.0) || !(value <= 1.0))
        return wrong(line, name, "a number above 0 and up to 1", err);
    *share = value;
    return ST_OK;
}

static enum status read_name(const struct command_line *line, const char *name, const char **text,
                             struct error *err)
{
    if (line->value[0] == '\0')
        return wrong(line, name, "a file's name", err);
    *text = line->value;
    return ST_OK;
}

static enum status read_views(const struct command_line *line, int32_t *views, struct error *err)
{
    static const char expected[] = "1, 2, 3 or 6";
    enum status st = read_whole(line, "views", VIEWS_MOST, expected, views, err);
    return st == ST_OK && !views_are_known(*views) ? wrong(line, "views", expected, err) : st;
}

enum status options_take(void *context, const struct command_line *line, struct error *err)
{
    static const char *const formats[FORMAT_COUNT] = {"tsv", "csv", "jsonl"};
    static const char *const splits[SPLIT_COUNT] = {"train", "validation", "test"};
    static const char *const answers[] = {"skip", "stop"};
    struct predict_options *options = context;
    enum status st = ST_OK;
    int which = 0;
    switch ((enum predict_option)line->option) {
    case PREDICT_LIST:
        return read_name(line, "list", &options->list, err);
    case PREDICT_NULL:
        options->null = true;
        break;
    case PREDICT_DATA:
        return read_name(line, "data", &options->data, err);
    case PREDICT_SPLIT:
        st = arguments_read_word(line, "split", splits, SPLIT_COUNT, &which, err);
        options->split = (enum data_split)which;
        break;
    case PREDICT_FORMAT:
        st = arguments_read_word(line, "format", formats, FORMAT_COUNT, &which, err);
        options->format = (enum answer_format)which;
        break;
    case PREDICT_TOP:
        return read_whole(line, "top", INT32_MAX, "a whole number of classes from 1 on", &options->top, err);
    case PREDICT_ALL:
        options->all = true;
        break;
    case PREDICT_THRESHOLD:
        return read_share(line, "threshold", &options->threshold, err);
    case PREDICT_PRECISION:
        return read_share(line, "precision", &options->precision, err);
    case PREDICT_THREADS:
        return read_whole(line, "threads", PREDICT_THREADS_MOST, "1 to 1024", &options->threads, err);
    case PREDICT_DEVICE:
        options->device = (char *)(uintptr_t)line->value;
        break;
    case PREDICT_ON_ERROR:
        st = arguments_read_word(line, "on-error", answers, 2, &which, err);
        options->stop = which == 1;
        break;
    case PREDICT_VIEWS:
        return read_views(line, &options->views, err);
    }
    return st;
}

enum status options_finish(struct predict_options *options, const struct command_line *line,
                           struct error *err)
{
    options->run = line->words[0];
    options->paths = line->words + 1;
    options->path_count = line->word_count - 1;
    const int given = (options->path_count > 0) + (options->list != NULL) + (options->data != NULL);
    if (given == 0)
        return error_set(err, ST_RANGE, "found no images, expected paths, --list=FILE or --data=JOB");
    if (given > 1)
        return error_set(err, ST_RANGE, "found several of paths, --list and --data, expected one of these");
    if (options->null && options->list == NULL)
        return error_set(err, ST_RANGE, "--null: found no --list, expected one");
    if (options->threshold > 0.0 && options->precision > 0.0)
        return error_set(err, ST_RANGE, "found --threshold and --precision, expected one of these");
    return ST_OK;
}
