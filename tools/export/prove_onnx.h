/* An ONNX file is read back as any program would read it, and run. */
#ifndef NASRUN_TOOLS_EXPORT_PROVE_ONNX_H
#define NASRUN_TOOLS_EXPORT_PROVE_ONNX_H

#include "tools/export/proof.h"

/* In float32 what is read is compared on the reference and tested on the CPU; in int8 it is evaluated with the codes
 * that the file has. ST_FORMAT when it can't be read, or differs. */
enum status prove_onnx(struct proof *proof, bool coded, const unsigned char *bytes, size_t length,
                       struct outcome *outcome, struct error *err);

#endif
