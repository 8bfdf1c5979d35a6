/* naspredict RUN IMAGE...: classifies images with a run's model, on the CPU. */
#include "host/base/text.h"
#include "host/data/dataset.h"
#include "host/device/views.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/common/predictor.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 32, NAME_BYTES = 256 };

/* Whether what went wrong is one image's own affair. */
static bool is_the_image(enum status st)
{
    return st == ST_FORMAT || st == ST_IO || st == ST_RANGE || st == ST_UNSUPPORTED;
}

/* Reads up to one batch of images, with a line on stderr for each that can't be read. `read` gets the paths of the
 * *count others, in their order. */
static enum status read_images(struct predictor *p, char *const *paths, int32_t asked, const char **read,
                               int32_t *count, struct error *err)
{
    const struct shape image = p->model.graph.layers[0].shape;
    const size_t bytes = predictor_image_bytes(p);
    *count = 0;
    for (int32_t i = 0; i < asked; i++) {
        enum status st = data_read_image(paths[i], image.c, image.h, image.w, p->model.about.fit,
                                         p->pixels + (size_t)*count * bytes, err);
        if (st == ST_OK)
            read[(*count)++] = paths[i];
        else if (is_the_image(st))
            fprintf(stderr, "naspredict: %s\n", err->message);
        else
            return st;
    }
    return ST_OK;
}

/* Classifies up to one batch of images and prints a line for each of the *count that can be read. */
static enum status predict(struct predictor *p, char *const *paths, int32_t asked, int32_t *count,
                           struct error *err)
{
    const char *read[BATCH];
    const int32_t classes = p->model.about.classes;

    enum status st = read_images(p, paths, asked, read, count, err);
    if (st == ST_OK && *count > 0)
        st = predictor_run(p, *count, err);
    if (st != ST_OK)
        return st;
    for (int32_t i = 0; i < *count; i++) {
        char name[NAME_BYTES], path[PATH_MAX];
        const float *row = p->answers + (size_t)i * (size_t)classes;
        const int32_t best = predictor_class(p, i);
        text_shown(p->model.about.class_names[best], name, sizeof(name));
        if (isatty(STDOUT_FILENO))
            printf("%s\t%s\t%.4f\n", text_shown(read[i], path, sizeof(path)), name, (double)row[best]);
        else /* who reads this wants the path as it is */
            printf("%s\t%s\t%.4f\n", read[i], name, (double)row[best]);
    }
    if (fflush(stdout) != 0 || ferror(stdout))
        return error_set(err, ST_IO, "standard output: cannot be written");
    return ST_OK;
}

/* Takes --views, the only option. */
static enum status read_views(void *context, const struct command_line *line, struct error *err)
{
    int32_t *views = context;
    char *end;
    const long value = strtol(line->value, &end, 10);
    if (*line->value == '\0' || *end != '\0' || value < 1 || value > VIEWS_MOST ||
        !views_are_known((int32_t)value))
        return error_set(err, ST_RANGE, "--views: found \"%.40s\", expected 1, 2, 3 or 6", line->value);
    *views = (int32_t)value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct predictor predictor = {0};
    struct command_line line;
    struct error err;
    int32_t views = 0;
    int status;

    if (!arguments_read(&naspredict_command, argc, argv, read_views, &views, &line, &status))
        return status;
    int32_t images = line.word_count - 1, classified = 0;
    enum status st = predictor_load(line.words[0], &predictor.model, &err);
    if (st == ST_OK)
        st = predictor_open(&predictor, &cpu_device_ops, images < BATCH ? images : BATCH, views, &err);
    for (int32_t first = 0; st == ST_OK && first < images; first += predictor.batch) {
        const int32_t left = images - first;
        int32_t count = 0;
        st = predict(&predictor, line.words + 1 + first, left < predictor.batch ? left : predictor.batch,
                     &count, &err);
        classified += count;
    }
    if (st != ST_OK)
        fprintf(stderr, "naspredict: %s\n", err.message);
    predictor_close(&predictor);
    if (st != ST_OK || classified == 0)
        return COMMAND_ERROR;
    return classified < images ? COMMAND_SOME_FAILED : COMMAND_DONE;
}
