#include "tools/export/prove_c.h"

#include "host/base/file.h"
#include "tools/common/scratch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { NO_PROGRAM = 127, MOST_ARGUMENTS = 16 };

/* What lies in the folder. */
#define SOURCE  "model.c"
#define DRIVER  "main.c"
#define PROGRAM "model"
#define IMAGES  "images"
#define ANSWERS "answers"
#define LOG     "log"

static FILE *open_in(const char *folder, const char *name, const char *mode, struct error *err)
{
    char *path = file_join(folder, name);
    FILE *file = path != NULL ? fopen(path, mode) : NULL;
    if (file == NULL)
        error_system(err, errno, "%s/%s", folder, name);
    free(path);
    return file;
}

static enum status close_written(FILE *file, const char *folder, const char *name, struct error *err)
{
    const bool failed = ferror(file) != 0;
    if (fclose(file) == 0 && !failed)
        return ST_OK;
    error_system(err, errno, "%s/%s", folder, name);
    return ST_IO;
}

/* ---- what is compiled and run ---- */

/* Reads images and writes their probabilities, until there are none. */
static enum status write_sources(const struct proof *proof, const char *folder, const char *name,
                                 const char *text, struct error *err)
{
    FILE *file = open_in(folder, SOURCE, "w", err);
    if (file == NULL)
        return ST_IO;
    fputs(text, file);
    enum status st = close_written(file, folder, SOURCE, err);
    file = st == ST_OK ? open_in(folder, DRIVER, "w", err) : NULL;
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
    return close_written(file, folder, DRIVER, err);
}

/* All images, the channels of a pixel side by side. */
static enum status write_images(struct proof *proof, const char *folder, struct error *err)
{
    const size_t bytes = proof_image_bytes(proof), channels = (size_t)proof->folded.graph.layers[0].shape.c;
    const size_t plane = bytes / channels;
    FILE *file = open_in(folder, IMAGES, "wb", err);
    if (file == NULL)
        return ST_IO;
    for (int32_t first = 0; first < proof_test_images(proof); first += PROOF_BATCH) {
        const int32_t count = proof_take(proof, first);
        for (size_t i = 0; i < (size_t)count * bytes; i++)
            fputc(proof->pixels[i / bytes * bytes + i % channels * plane + i % bytes / channels], file);
    }
    return close_written(file, folder, IMAGES, err);
}

/* Runs a program in the folder with those files as its streams; its status, NO_PROGRAM when there is none, -1 when a
 * signal ended it. */
static int run(const char *folder, const char *in, const char *out, char *const *arguments)
{
    const pid_t child = fork();
    int status;
    if (child == 0) {
        if (chdir(folder) != 0 || freopen(in, "rb", stdin) == NULL || freopen(out, "wb", stdout) == NULL ||
            freopen(LOG, "wb", stderr) == NULL)
            _exit(NO_PROGRAM - 1);
        execvp(arguments[0], arguments);
        _exit(NO_PROGRAM);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status))
        return -1;
    return WEXITSTATUS(status);
}

/* The first line of what a program said. */
static void read_log(const char *folder, char line[200])
{
    struct error ignored;
    FILE *file = open_in(folder, LOG, "r", &ignored);
    line[0] = '\0';
    if (file != NULL && fgets(line, 200, file) != NULL)
        line[strcspn(line, "\n")] = '\0';
    if (file != NULL)
        fclose(file);
}

/* ST_NONE: there is no compiler. */
static enum status compile(const char *folder, struct error *err)
{
    char *const arguments[MOST_ARGUMENTS] = {"cc",         "-std=c99", "-O3",  "-Wall", "-Wextra",
                                             "-Wpedantic", "-Werror",  SOURCE, DRIVER,  "-o",
                                             PROGRAM,      "-lm",      NULL};
    char line[200];
    const int status = run(folder, "/dev/null", "/dev/null", arguments);
    if (status == 0)
        return ST_OK;
    if (status == NO_PROGRAM)
        return ST_NONE;
    read_log(folder, line);
    return error_set(err, ST_FORMAT, "it does not compile: %s", line);
}

static enum status run_program(const char *folder, struct error *err)
{
    char *const arguments[MOST_ARGUMENTS] = {"./" PROGRAM, NULL};
    const int status = run(folder, IMAGES, ANSWERS, arguments);
    return status == 0 ? ST_OK : error_set(err, ST_FORMAT, "compiled it ends with status %d", status);
}

/* ---- what it answered ---- */

static enum status read_answers(struct proof *proof, const char *folder, bool coded, struct outcome *outcome,
                                struct error *err)
{
    const size_t classes = (size_t)proof->folded.about.classes;
    const int32_t images = proof_test_images(proof);
    FILE *file = open_in(folder, ANSWERS, "rb", err);
    enum status st = file != NULL ? ST_OK : ST_IO;
    for (int32_t first = 0; st == ST_OK && first < images; first += PROOF_BATCH) {
        const int32_t count = images - first < PROOF_BATCH ? images - first : PROOF_BATCH;
        const size_t read = fread(proof->answers, classes * sizeof(float), (size_t)count, file);
        if (read != (size_t)count)
            st = error_set(err, ST_FORMAT, "compiled it answers to %zu images, expected %d",
                           (size_t)first + read, images);
        if (st == ST_OK && first == 0)
            st = proof_compare(proof, proof->answers, coded, outcome, err);
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
    char *folder;
    enum status st = scratch_open("nasexport", &folder, err);
    if (st != ST_OK)
        return st;
    st = write_sources(proof, folder, name, text, err);
    if (st == ST_OK)
        st = compile(folder, err);
    if (st == ST_NONE) {
        snprintf(outcome->how, sizeof(outcome->how),
                 "not compiled, for there is no compiler (cc); the network it was written from, evaluated,");
        st = proof_evaluate(proof, evaluation, outcome, err);
    } else if (st == ST_OK) {
        snprintf(outcome->how, sizeof(outcome->how), "compiled by cc and run");
        st = write_images(proof, folder, err);
        if (st == ST_OK)
            st = run_program(folder, err);
        if (st == ST_OK)
            st = read_answers(proof, folder, evaluation->quantisation != NULL, outcome, err);
    }
    scratch_close(folder);
    return st;
}
