#include "tools/export/prove_c.h"

#include "host/base/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_PROGRAM = 127, MOST_ARGUMENTS = 16 };

/* The folder, and the files in it. */
struct workplace {
    char folder[4000];
    const char *source, *driver, *program, *images, *answers, *log;
};
static const struct workplace files = {"", "model.c", "main.c", "model", "images", "answers", "log"};

static enum status open_workplace(struct workplace *place, struct error *err)
{
    const char *temporary = getenv("TMPDIR");
    *place = files;
    snprintf(place->folder, sizeof(place->folder), "%s/nasexport-XXXXXX",
             temporary != NULL ? temporary : "/tmp");
    if (mkdtemp(place->folder) != NULL)
        return ST_OK;
    error_system(err, errno, "%s", place->folder);
    place->folder[0] = '\0';
    return ST_IO;
}

static void close_workplace(const struct workplace *place)
{
    const char *const names[] = {place->source, place->driver,  place->program,
                                 place->images, place->answers, place->log};
    for (size_t i = 0; place->folder[0] != '\0' && i < sizeof(names) / sizeof(names[0]); i++) {
        char *path = file_join(place->folder, names[i]);
        if (path != NULL)
            unlink(path);
        free(path);
    }
    if (place->folder[0] != '\0')
        rmdir(place->folder);
}

static FILE *open_in(const struct workplace *place, const char *name, const char *mode, struct error *err)
{
    char *path = file_join(place->folder, name);
    FILE *file = path != NULL ? fopen(path, mode) : NULL;
    if (file == NULL)
        error_system(err, errno, "%s/%s", place->folder, name);
    free(path);
    return file;
}

static enum status close_written(FILE *file, const struct workplace *place, const char *name,
                                 struct error *err)
{
    const bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed)
        return ST_OK;
    error_system(err, errno, "%s/%s", place->folder, name);
    return ST_IO;
}

/* ---- what is compiled and run ---- */

/* Reads images and writes their probabilities, until there are none. */
static enum status write_sources(const struct proof *proof, const struct workplace *place, const char *name,
                                 const char *text, struct error *err)
{
    FILE *file = open_in(place, place->source, "w", err);
    if (file == NULL)
        return ST_IO;
    fputs(text, file);
    enum status st = close_written(file, place, place->source, err);
    file = st == ST_OK ? open_in(place, place->driver, "w", err) : NULL;
    if (file == NULL)
        return ST_IO;
    fprintf(file,
            "#include <stdio.h>\n"
            "int %s_classify(const unsigned char *image, float *probabilities);\n"
            "static unsigned char image[%zu];\n"
            "static float probabilities[%d];\n"
            "int main(void)\n{\n"
            "    while (fread(image, sizeof(image), 1, stdin) == 1) {\n"
            "        %s_classify(image, probabilities);\n"
            "        fwrite(probabilities, sizeof(probabilities), 1, stdout);\n"
            "    }\n"
            "    return fflush(stdout) != 0;\n"
            "}\n",
            name, proof_image_bytes(proof), proof->folded.about.classes, name);
    return close_written(file, place, place->driver, err);
}

/* All images, the channels of a pixel side by side. */
static enum status write_images(struct proof *proof, const struct workplace *place, struct error *err)
{
    const size_t bytes = proof_image_bytes(proof), channels = (size_t)proof->folded.graph.layers[0].shape.c;
    const size_t plane = bytes / channels;
    FILE *file = open_in(place, place->images, "wb", err);
    if (file == NULL)
        return ST_IO;
    for (int32_t first = 0; first < proof_test_images(proof); first += PROOF_BATCH) {
        const int32_t count = proof_take(proof, first);
        for (size_t i = 0; i < (size_t)count * bytes; i++)
            fputc(proof->pixels[i / bytes * bytes + i % channels * plane + i % bytes / channels], file);
    }
    return close_written(file, place, place->images, err);
}

/* Runs a program in the folder with those files as its streams; its status, NO_PROGRAM when there is none, -1 when a
 * signal ended it. */
static int run(const struct workplace *place, const char *in, const char *out, char *const *arguments)
{
    const pid_t child = fork();
    int status;
    if (child == 0) {
        if (chdir(place->folder) != 0 || freopen(in, "rb", stdin) == NULL ||
            freopen(out, "wb", stdout) == NULL || freopen(place->log, "wb", stderr) == NULL)
            _exit(NO_PROGRAM - 1);
        execvp(arguments[0], arguments);
        _exit(NO_PROGRAM);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* The first line of what a program said. */
static void read_log(const struct workplace *place, char line[200])
{
    struct error ignored;
    FILE *file = open_in(place, place->log, "r", &ignored);
    line[0] = '\0';
    if (file != NULL && fgets(line, 200, file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
}

/* ST_NONE: there is no compiler. */
static enum status compile(const struct workplace *place, struct error *err)
{
    char *const arguments[MOST_ARGUMENTS] = {"cc",         "-std=c99", "-O3",     "-Wall",  "-Wextra",
                                             "-Wpedantic", "-Werror",  "model.c", "main.c", "-o",
                                             "model",      "-lm",      NULL};
    char line[200];
    const int status = run(place, "/dev/null", "/dev/null", arguments);
    if (status == 0)
        return ST_OK;
    if (status == NO_PROGRAM)
        return ST_NONE;
    read_log(place, line);
    return error_set(err, ST_FORMAT, "it does not compile: %s", line);
}

static enum status run_program(const struct workplace *place, struct error *err)
{
    char *const arguments[MOST_ARGUMENTS] = {"./model", NULL};
    const int status = run(place, place->images, place->answers, arguments);
    return status == 0 ? ST_OK : error_set(err, ST_FORMAT, "compiled it ends with status %d", status);
}

/* ---- what it answered ---- */

static enum status read_answers(struct proof *proof, const struct workplace *place, const float *wanted,
                                struct outcome *outcome, struct error *err)
{
    const size_t classes = (size_t)proof->folded.about.classes;
    const int32_t images = proof_test_images(proof);
    FILE *file = open_in(place, place->answers, "rb", err);
    enum status st = file != NULL ? ST_OK : ST_IO;
    for (int32_t first = 0; st == ST_OK && first < images; first += PROOF_BATCH) {
        const int32_t count = images - first < PROOF_BATCH ? images - first : PROOF_BATCH;
        const size_t read = fread(proof->answers, classes * sizeof(float), (size_t)count, file);
        if (read != (size_t)count)
            st = error_set(err, ST_FORMAT, "compiled it answers to %zu images, expected %d",
                           (size_t)first + read, images);
        if (st == ST_OK && first == 0)
            st = proof_compare(proof, proof->answers, wanted, outcome, err);
        if (st == ST_OK)
            proof_count(proof, proof->answers, first, count, outcome);
    }
    if (file != NULL)
        fclose(file);
    return st;
}

enum status prove_c(struct proof *proof, const struct evaluation *evaluation, const char *name,
                    const char *text, struct outcome *outcome, struct error *err)
{
    struct workplace place;
    enum status st = open_workplace(&place, err);
    if (st != ST_OK)
        return st;
    st = write_sources(proof, &place, name, text, err);
    if (st == ST_OK)
        st = compile(&place, err);
    if (st == ST_NONE) {
        snprintf(outcome->how, sizeof(outcome->how),
                 "not compiled, for there is no compiler (cc); the network it was written from, evaluated,");
        st = proof_evaluate(proof, evaluation, outcome, err);
    } else if (st == ST_OK) {
        snprintf(outcome->how, sizeof(outcome->how), "compiled by cc and run");
        st = write_images(proof, &place, err);
        if (st == ST_OK)
            st = run_program(&place, err);
        if (st == ST_OK)
            st =
                read_answers(proof, &place, evaluation->quantisation != NULL ? proof->coded : proof->expected,
                             outcome, err);
    }
    close_workplace(&place);
    return st;
}
