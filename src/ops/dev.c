#include "ops/dev.h"

#include <string.h>

#include "ops/lifecycle.h"
#include "ops/mounts.h"

static const uint8_t root_namespace[16];

static hf_result mount_at(struct hf_unsealed *u, enum hf_engine engine, const char *path, const char *options,
                          const char *description)
{
    struct hf_mount mount = {
        .engine = engine, .path_len = strlen(path), .ns = hf_cursor(root_namespace, sizeof(root_namespace))};
    struct hf_buf at = hf_buf(mount.path, sizeof(mount.path) - 1);
    struct hf_buf with = hf_buf(mount.options, sizeof(mount.options) - 1);
    struct hf_buf about = hf_buf(mount.description, sizeof(mount.description) - 1);
    hf_buf_text(&at, path);
    hf_buf_text(&with, options);
    hf_buf_text(&about, description);
    hf_result done = hf_mount_create(u, &mount, NULL);
    return done.code == HF_EXISTS ? HF_DONE : done;
}

static hf_result dev_mounts(struct hf_core *core)
{
    struct hf_unsealed *u = hf_core_unsealed(core);
    if (u == NULL)
        return HF_FAIL(SEALED);
    TRY(mount_at(u, HF_ENGINE_TRANSIT, "transit/", "", "encryption as a service"));
    return mount_at(u, HF_ENGINE_KV, "secret/", "{\"version\":\"2\"}", "key/value secret storage");
}

static hf_result fresh(struct hf_core *core, const char *wanted_token, struct hf_core_dev *dev)
{
    CLEANUP(hf_share_set_done) struct hf_share_set set = {.count = 0};
    struct hf_buf token = hf_buf(dev->root_token, sizeof(dev->root_token) - 1);
    TRY(hf_core_initialize(core, HF_DEV_SHARES, HF_DEV_THRESHOLD, hf_cursor_text(wanted_token), NULL, &set,
                           &token));
    if (token.len == 0)
        return HF_FAIL(INTERNAL); /* the log says why */
    for (uint32_t i = 0; i < set.count; i++) {
        struct hf_buf share = hf_buf(dev->shares[i], sizeof(dev->shares[i]) - 1);
        TRY(hf_share_text(&set.shares[i], HF_SHARE_BASE64, &share));
    }
    hf_epoch_enter();
    hf_result mounted = dev_mounts(core);
    hf_epoch_leave();
    TRY(mounted);
    dev->share_count = set.count;
    return HF_DONE;
}

static hf_result again(struct hf_core *core, const char shares[][HF_DEV_TEXT_MAX], uint32_t share_count)
{
    bool complete = false;
    for (uint32_t i = 0; i < share_count && !complete; i++) {
        const char *why = "";
        struct hf_cursor text = hf_cursor(shares[i], strnlen(shares[i], HF_DEV_TEXT_MAX));
        hf_result offered = hf_seal_offer(core->seal, text, &complete, &why);
        if (!HF_IS_OK(offered)) {
            hf_log(HF_LOG_ERROR, "dev.share_refused", hf_f("result", offered), hf_f("why", why));
            return offered;
        }
    }
    return complete ? hf_core_unlock(core) : HF_FAIL(SEALED);
}

hf_result hf_core_dev_init(struct hf_core *core, const char *root_token, const char shares[][HF_DEV_TEXT_MAX],
                           uint32_t share_count, struct hf_core_dev *ret_dev)
{
    memset(ret_dev, 0, sizeof(*ret_dev));
    struct hf_seal_status status;
    TRY(hf_seal_status(core->seal, &status));
    if (status.initialized)
        return status.sealed ? again(core, shares, share_count) : HF_DONE;
    hf_result done = fresh(core, root_token, ret_dev);
    if (!HF_IS_OK(done))
        hf_wipe(ret_dev, sizeof(*ret_dev));
    return done;
}
