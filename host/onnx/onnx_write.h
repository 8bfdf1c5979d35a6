/* Models as ONNX (https://github.com/onnx/onnx, docs/IR.md and docs/Operators.md), for runtimes that know no nasrun.
 *
 * What is written: IR version 7, operators of opset 13. One input "images", uint8 [N, channels, height, width] with N
 * open: pixels as they come, for normalisation stands inside. One output "probabilities", float32 [N, classes]: the
 * logits divided by the model's temperature for one view, behind a softmax, or where images have several labels behind
 * a sigmoid. Layers are called "layers.ID", their weights as in the model file (host/model/model_file.h); dropout is
 * left out. `metadata_props` holds what the model file says beside graph and weights: "class_names", "mean" and
 * "deviation" (JSON arrays), "fit", "temperature", "id", "validation_accuracy"; of several labels "labels" ("several")
 * and "label_thresholds" (a JSON array); with thresholds "thresholds" (a JSON array, null: no probability is enough)
 * and "precision". The answers are those of one view. */
#ifndef NASRUN_ONNX_ONNX_WRITE_H
#define NASRUN_ONNX_ONNX_WRITE_H

#include "host/inference/quantise.h"
#include "host/model/class_thresholds.h"

#include <stddef.h>

/* The file's bytes, malloc'd, the caller's to free. The same model gives the same bytes. With `codes` the model is a
 * folded one (host/inference/fold.h) and each layer's values, kernel and bias go through QuantizeLinear and
 * DequantizeLinear, signed, kernels by output channel; NULL: float32. `thresholds` NULL: none.
 * ST_UNSUPPORTED when they were more than a protobuf message may have (2 GiB). */
enum status onnx_write(const struct model *model, const struct quantisation *codes,
                       const struct class_thresholds *thresholds, unsigned char **bytes, size_t *length,
                       struct error *err);

#endif
