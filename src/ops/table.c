/* THE operation table. Rows of one engine stand together; first match wins, literal segments before ":x". */
#include "ops/handlers.h"

#define RD (1 << HF_METHOD_READ)
#define LS (1 << HF_METHOD_LIST)
#define WR (1 << HF_METHOD_WRITE)
#define DE (1 << HF_METHOD_DELETE)
#define HD (1 << HF_METHOD_HEAD)
#define PA (1 << HF_METHOD_PATCH)

const struct hf_operation hf_operations[] = {
    /* ---- sys: seal, status ---- */
    /* ---- sys: mounts, namespaces, wrapping ---- */
    /* ---- sys: policies, capabilities ---- */
    /* ---- sys: audit ---- */
    /* ---- auth/token ---- */
    /* ---- auth/approle ---- */
    /* ---- auth/cert ---- */
    /* ---- transit ---- */
    /* ---- kv ---- */
};
const size_t hf_operation_count = HF_ARRAY_LEN(hf_operations);
