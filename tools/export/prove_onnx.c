#include "tools/export/prove_onnx.h"

#include "host/onnx/onnx_read.h"

#include <stdio.h>

static enum status prove_floats(struct proof *proof, const struct model *read, struct outcome *outcome,
                                struct error *err)
{
    struct predictor reference = {.model = read}, cpu = {.model = read};
    int32_t count;
    enum status st = predictor_open(&reference, &ref_device_ops, PROOF_COMPARED, 1, err);
    if (st == ST_OK)
        st = proof_ask(proof, &reference, 0, &count, err);
    if (st == ST_OK)
        st = proof_compare(proof, reference.answers, false, outcome, err);
    if (st == ST_OK && proof->has_data) { /* the same on another device */
        st = predictor_open(&cpu, &cpu_device_ops, PROOF_BATCH, 1, err);
        if (st == ST_OK)
            st = proof_test(proof, &cpu, outcome, err);
    }
    predictor_close(&reference);
    predictor_close(&cpu);
    return st;
}

static enum status prove_codes(struct proof *proof, const struct model *read,
                               const struct quantisation *codes, struct outcome *outcome, struct error *err)
{
    struct plan plan = {0};
    const struct evaluation evaluation = {read, &plan, codes};
    enum status st = plan_make(&read->graph, &plan, err);
    if (st == ST_OK)
        st = proof_evaluate(proof, &evaluation, outcome, err);
    plan_free(&plan);
    return st;
}

static bool has_its_shape(const struct proof *proof, const struct model *read)
{
    const struct shape a = proof->folded.graph.layers[0].shape, b = read->graph.layers[0].shape;
    return a.c == b.c && a.h == b.h && a.w == b.w && read->about.classes == proof->folded.about.classes;
}

enum status prove_onnx(struct proof *proof, bool coded, const unsigned char *bytes, size_t length,
                       struct outcome *outcome, struct error *err)
{
    struct model read;
    struct quantisation codes = {0};
    snprintf(outcome->how, sizeof(outcome->how),
             coded ? "read back and evaluated in whole numbers" : "read back and run on the reference");
    enum status st = onnx_read(bytes, length, &read, coded ? &codes : NULL, err);
    if (st == ST_OK && !has_its_shape(proof, &read))
        st = error_set(err, ST_FORMAT, "read back it has another shape than the model");
    if (st == ST_OK)
        st = coded ? prove_codes(proof, &read, &codes, outcome, err)
                   : prove_floats(proof, &read, outcome, err);
    model_free(&read);
    quantisation_free(&codes);
    return st;
}
