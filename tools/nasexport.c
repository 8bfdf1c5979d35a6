/* nasexport RUN --onnx=FILE --c=FILE: a run's model for programs that know no nasrun, proven before it is kept. */
#include "host/base/file.h"
#include "host/csource/csource_write.h"
#include "host/onnx/onnx_write.h"
#include "tools/common/arguments.h"
#include "tools/common/commands.h"
#include "tools/export/fit_thresholds.h"
#include "tools/export/prove_c.h"
#include "tools/export/prove_onnx.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Files that may be asked for. */
enum export_kind { EXPORT_ONNX, EXPORT_C, EXPORTS };

struct wishes {
    const char *paths[EXPORTS]; /* NULL: not asked for */
    bool coded;                 /* int8 */
    double precision;           /* of the thresholds; 0: none */
};

struct export
{
    unsigned char *bytes;
    size_t length;
    struct outcome outcome;
};

/* What is written, and from what. */
static enum status make(struct proof *proof, const struct wishes *wishes, enum export_kind kind,
                        const struct class_thresholds *thresholds, struct export *export, struct error *err)
{
    const struct evaluation evaluation = proof_evaluation(proof, wishes->coded);
    char name[CSOURCE_NAME], *text = NULL;
    enum status st;
    if (kind == EXPORT_ONNX) {
        st = onnx_write(wishes->coded ? &proof->folded : &proof->model, evaluation.quantisation, thresholds,
                        &export->bytes, &export->length, err);
        return st == ST_OK
                   ? prove_onnx(proof, wishes->coded, export->bytes, export->length, &export->outcome, err)
                   : st;
    }
    csource_name(wishes->paths[kind], name);
    st = csource_write(&evaluation, name, thresholds, &text, &export->length, err);
    export->bytes = (unsigned char *)text;
    return st == ST_OK ? prove_c(proof, &evaluation, name, text, &export->outcome, err) : st;
}

static void tell(const struct proof *proof, const char *path, const struct export *export)
{
    const struct outcome *outcome = &export->outcome;
    printf("%s: %zu bytes, %s: differs from the model by %.1e on %d %s\n", path, export->length, outcome->how,
           outcome->difference, (int)proof->compared, proof->has_data ? "test images" : "images of chance");
    if (outcome->tested == 0) {
        printf("accuracy: not measured: %s\n", proof->why.message);
        return;
    }
    const double accuracy = (double)outcome->correct / (double)outcome->tested;
    printf("accuracy%s: %.4f of %lld test images, one view",
           proof->folded.about.label_thresholds != NULL ? ", all labels right" : "", accuracy,
           (long long)outcome->tested);
    if (!isnan(proof->float_accuracy))
        printf("; %.4f in float32, %+.4f by int8", proof->float_accuracy, accuracy - proof->float_accuracy);
    putchar('\n');
}

/* values[classes], when they are wanted. */
static enum status make_thresholds(const char *run_folder, const struct wishes *wishes, struct proof *proof,
                                   struct class_thresholds *thresholds, double **values, struct error *err)
{
    const struct evaluation evaluation = proof_evaluation(proof, wishes->coded);
    if (!(wishes->precision > 0.0))
        return ST_OK;
    *values = calloc((size_t)proof->folded.about.classes, sizeof(**values));
    if (*values == NULL)
        return error_memory(err, "thresholds", (size_t)proof->folded.about.classes * sizeof(**values));
    *thresholds = (struct class_thresholds){wishes->precision, *values};
    return fit_thresholds(proof, run_folder, &evaluation, wishes->precision, *values, err);
}

/* All are made and proven before the first is kept. */
static enum status export_model(const char *run_folder, const struct wishes *wishes, struct error *err)
{
    struct proof proof;
    struct export exports[EXPORTS] = {{0}};
    struct class_thresholds thresholds = {0};
    double *values = NULL;
    enum status st = proof_open(run_folder, &proof, err);
    if (st == ST_OK && wishes->coded)
        st = proof_measure(&proof, err);
    if (st == ST_OK)
        st = make_thresholds(run_folder, wishes, &proof, &thresholds, &values, err);
    for (int kind = 0; st == ST_OK && kind < EXPORTS; kind++)
        if (wishes->paths[kind] != NULL) {
            st = make(&proof, wishes, (enum export_kind)kind, values != NULL ? &thresholds : NULL,
                      &exports[kind], err);
            if (st != ST_OK)
                error_prefix(err, "%s is not written", wishes->paths[kind]);
        }
    for (int kind = 0; st == ST_OK && kind < EXPORTS; kind++)
        if (wishes->paths[kind] != NULL)
            st = file_write_atomic(wishes->paths[kind], exports[kind].bytes, exports[kind].length, err);
    for (int kind = 0; kind < EXPORTS; kind++) {
        if (st == ST_OK && wishes->paths[kind] != NULL)
            tell(&proof, wishes->paths[kind], &exports[kind]);
        free(exports[kind].bytes);
    }
    free(values);
    proof_close(&proof);
    return st;
}

static enum status take_option(void *context, const struct command_line *line, struct error *err)
{
    struct wishes *wishes = context;
    char *end;
    if (line->option == EXPORT_OPTION_PRECISION) {
        wishes->precision = strtod(line->value, &end);
        return *end == '\0' && wishes->precision > 0.0 && wishes->precision <= 1.0
                   ? ST_OK
                   : error_set(err, ST_RANGE,
                               "--precision: found \"%.40s\", expected a number above 0, at most 1",
                               line->value);
    }
    if (line->option == EXPORT_OPTION_INT8) {
        wishes->coded = true;
        return ST_OK;
    }
    if (line->value[0] == '\0')
        return error_set(err, ST_RANGE, "--%s: found nothing, expected a file's name",
                         line->option == EXPORT_OPTION_ONNX ? "onnx" : "c");
    wishes->paths[line->option == EXPORT_OPTION_ONNX ? EXPORT_ONNX : EXPORT_C] = line->value;
    return ST_OK;
}

int main(int argc, char **argv)
{
    struct command_line line;
    struct error err = {0};
    struct wishes wishes = {0};
    int status;

    if (!arguments_read(&nasexport_command, argc, argv, take_option, &wishes, &line, &status))
        return status;
    enum status st = wishes.paths[EXPORT_ONNX] != NULL || wishes.paths[EXPORT_C] != NULL
                         ? export_model(line.words[0], &wishes, &err)
                         : error_set(&err, ST_RANGE, "expected --onnx=FILE or --c=FILE");
    if (st != ST_OK)
        fprintf(stderr, "nasexport: %s\n", err.message);
    return st == ST_OK ? COMMAND_DONE : COMMAND_ERROR;
}
