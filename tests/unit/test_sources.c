/* SPDX-License-Identifier: MIT */
#include "tests/unit/helpers.h"

#include "lineage/lineage.h"
#include "sources/sources.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char commit_a[] = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
static const char commit_b[] = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
#define SHA "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393"

/* Writes what a walk reports, one line each, into a buffer. */
static int take_model(void *context, const struct found_model *m, struct err *err)
{
    struct buf *out = context;
    (void)err;
    buf_printf(out, "%s|%s|%s|%u:", m->name, source_name(m->source), m->run, m->flags);
    for (size_t i = 0; i < m->file_count; i++)
        buf_printf(out, " %s%s", m->files[i].name, m->files[i].digest ? "#" : "");
    buf_str(out, "\n");
    return 0;
}

static void take_problem(void *context, const char *path, const char *reason)
{
    const char *slash = strrchr(path, '/');
    buf_printf(context, "PROBLEM %s %s\n", slash ? slash + 1 : path, reason);
}

static void assert_walk(const char *root, const char *want)
{
    AUTO_BUF struct buf out = {0};
    const struct source_sink sink = {take_model, take_problem, &out};
    buf_add(&out, "", 0);
    assert_int_equal(source_walk(root, &sink, NULL), 0);
    assert_string_equal(out.data, want);
}

static void hub_repo(const char *dir, const char *repo, const char *commit)
{
    AUTO_FREE char *blob = mem_printf("%s/blobs/" SHA, repo);
    AUTO_FREE char *link = mem_printf("%s/snapshots/%s/model.safetensors", repo, commit);
    AUTO_FREE char *ref = mem_printf("%s/refs/main", repo);
    test_write_text(dir, blob, "weights");
    test_link(dir, link, "../../blobs/" SHA);
    test_write_text(dir, ref, commit);
}

static void source_walk__hub_cache__names_repo_and_blob(void **state)
{
    (void)state;
    char *dir = test_folder();
    hub_repo(dir, "models--acme--l31", commit_a);
    hub_repo(dir, "models--bert-base", commit_a);
    test_write_text(dir, "models--acme--l31/.no_exist/x/model.bin", "");
    test_write_text(dir, "token", "hf_secret");
    assert_true(source_is_hub(dir));
    assert_walk(dir, "acme/l31|hf||0: model.safetensors#\n"
                     "bert-base|hf||0: model.safetensors#\n");
    test_remove(dir);
}

static void source_walk__several_revisions__are_models_of_their_own(void **state)
{
    (void)state;
    char *dir = test_folder();
    hub_repo(dir, "models--acme--l31", commit_a);
    AUTO_FREE char *link = mem_printf("models--acme--l31/snapshots/%s/model.safetensors", commit_b);
    test_link(dir, link, "../../blobs/" SHA);
    test_write_text(dir, "models--acme--l31/refs/refs/pr/1", commit_b);
    assert_walk(dir, "acme/l31|hf||0: model.safetensors#\n"
                     "acme/l31@refs/pr/1|hf||0: model.safetensors#\n");
    test_remove(dir);
}

static void source_walk__broken_hub_states__are_told_and_skipped(void **state)
{
    (void)state;
    char *dir = test_folder();
    hub_repo(dir, "models--acme--l31", commit_a);
    AUTO_FREE char *dangling = mem_printf("models--acme--l31/snapshots/%s/gone.bin", commit_a);
    AUTO_FREE char *out = mem_printf("models--acme--l31/snapshots/%s/out.bin", commit_a);
    test_link(dir, dangling, "../../blobs/nothing");
    test_link(dir, out, "../../../../../../etc/passwd");
    test_write_text(dir, "models--acme--l31/blobs/" SHA ".12345678.incomplete", "x");
    test_write_text(dir, "models--file", "not a folder");
    assert_walk(dir, "PROBLEM gone.bin broken link: No such file or directory\n"
                     "PROBLEM out.bin a link that leads out of the cache\n"
                     "acme/l31|hf||1: model.safetensors#\n"
                     "PROBLEM models--file a repository that is not a folder\n");
    test_remove(dir);
}

static void source_walk__shared_blobs_of_2026__are_followed_two_hops(void **state)
{
    (void)state;
    char *dir = test_folder();
    const char *xet = "11111111111111111111111111111111111111111111111111111111111111ff";
    AUTO_FREE char *shared = mem_printf("blobs/11/%s", xet);
    AUTO_FREE char *target = mem_printf("../../blobs/11/%s", xet);
    AUTO_FREE char *link = mem_printf("models--a--b/snapshots/%s/model.safetensors", commit_a);
    test_write_text(dir, shared, "weights");
    test_link(dir, "models--a--b/blobs/" SHA, target);
    test_link(dir, link, "../../blobs/" SHA);
    assert_walk(dir, "a/b|hf||0: model.safetensors#\n");
    struct hub_links links;
    assert_int_equal(hub_links_read(dir, &links, NULL), 0);
    assert_int_equal(links.count, 2); /* both hops must go when the file goes */
    assert_int_equal(links.links[0].ino, links.links[1].ino);
    hub_links_release(&links);
    test_remove(dir);
}

static void source_walk__no_symlink_mode_and_orphans__are_seen(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FREE char *real = mem_printf("models--a--b/snapshots/%s/model.safetensors", commit_a);
    AUTO_FREE char *big = mem_zalloc(70000);
    test_write_text(dir, real, "weights");
    test_write(dir, "models--a--b/blobs/" SHA, big, 70000);
    assert_walk(dir, "a/b|hf||0: model.safetensors\na/b@orphans|hf||2: " SHA "#\n");
    test_remove(dir);
}

static void source_walk__checkpoints_in_a_snapshot__are_a_run(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FREE char *one =
        mem_printf("models--a--b/snapshots/%s/checkpoint-40/model.safetensors", commit_a);
    test_write_text(dir, one, "weights");
    assert_walk(dir, "a/b/checkpoint-40|hf|a/b|0: model.safetensors\na/b|hf||0:\n");
    test_remove(dir);
}

static void source_walk__plain_folders__are_grouped_as_people_do(void **state)
{
    (void)state;
    char *dir = test_folder();
    test_write_text(dir, "loras/style.safetensors", "x");
    test_write_text(dir, "loras/other.safetensors", "x");
    test_write_text(dir, "llama/config.json", "{}");
    test_write_text(dir, "llama/model-00001-of-00002.safetensors", "x");
    test_write_text(dir, "llama/model-00002-of-00002.safetensors", "x");
    test_write_text(dir, "bare/m-00001-of-00002.safetensors", "x");
    test_write_text(dir, "bare/m-00002-of-00002.safetensors", "x");
    test_write_text(dir, "flux/model_index.json", "{}");
    test_write_text(dir, "flux/unet/diffusion.safetensors", "x");
    test_write_text(dir, "flux/vae/vae.safetensors", "x");
    test_write_text(dir, "run7/checkpoint-40/config.json", "{}");
    test_write_text(dir, "run7/checkpoint-40/model.safetensors", "x");
    test_write_text(dir, ".git/lfs/x.safetensors", "x");
    assert_walk(dir, "bare/m-00001-of-00002.safetensors|dir||0: m-00001-of-00002.safetensors "
                     "m-00002-of-00002.safetensors\n"
                     "flux|dir||0: unet/diffusion.safetensors vae/vae.safetensors\n"
                     "llama|dir||0: model-00001-of-00002.safetensors "
                     "model-00002-of-00002.safetensors\n"
                     "loras/other.safetensors|dir||0: other.safetensors\n"
                     "loras/style.safetensors|dir||0: style.safetensors\n"
                     "run7/checkpoint-40|dir|run7|0: model.safetensors\n");
    test_remove(dir);
}

static void source_walk__special_files_and_loops__do_not_hang(void **state)
{
    (void)state;
    char *dir = test_folder();
    AUTO_FREE char *pipe = test_path(dir, "a/pipe.safetensors");
    assert_int_equal(mkfifo(pipe, 0600), 0);
    test_link(dir, "a/loop", "../a");
    test_link(dir, "a/self.safetensors", "self.safetensors");
    test_link(dir, "a/out.safetensors", "/etc/passwd");
    test_write_text(dir, "a/real.safetensors", "x");
    test_link(dir, "a/near.safetensors", "real.safetensors");
    assert_walk(dir, "a/near.safetensors|dir||0: near.safetensors\n"
                     "PROBLEM pipe.safetensors not a regular file\n"
                     "a/real.safetensors|dir||0: real.safetensors\n"
                     "PROBLEM self.safetensors broken link\n");
    test_remove(dir);
}

static void source_walk__hub_below_a_folder__is_walked_as_a_hub(void **state)
{
    (void)state;
    char *dir = test_folder();
    hub_repo(dir, "huggingface/hub/models--acme--l31", commit_a);
    assert_walk(dir, "acme/l31|hf||0: model.safetensors#\n");
    test_remove(dir);
}

static void source_hub_path__variables__move_it(void **state)
{
    (void)state;
    static const char *const names[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME",
                                        "XDG_CACHE_HOME"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        unsetenv(names[i]);
    static const struct {
        const char *name, *value, *want;
    } steps[] = {{"HOME", "/h", "/h/.cache/huggingface/hub"},
                 {"XDG_CACHE_HOME", "/x", "/x/huggingface/hub"},
                 {"HF_HOME", "~/hf", "/h/hf/hub"},
                 {"HF_HUB_CACHE", "$HOME/a b", "$HOME/a b"},
                 {"HF_HUB_CACHE", "$HOME/hub", "/h/hub"}};
    for (size_t i = 0; i < COUNT_OF(steps); i++) {
        setenv(steps[i].name, steps[i].value, 1);
        AUTO_FREE char *path = source_hub_path();
        assert_string_equal(path, steps[i].want);
    }
}

static void add_claim(void *context, enum claim_kind kind, const char *target, const char *detail)
{
    buf_printf(context, "%s:%s:%s;", claim_kind_name(kind), target, detail);
}

static void assert_claims(const char *name, const char *text, const char *want)
{
    AUTO_BUF struct buf out = {0};
    buf_add(&out, "", 0);
    (void)lineage_read(name, text, strlen(text), add_claim, &out, NULL);
    assert_string_equal(out.data, want);
}

static void lineage_read__cards_and_configs__become_claims(void **state)
{
    (void)state;
    assert_claims("README.md", "---\nbase_model: acme/b\nbase_model_relation: finetune\n---\n",
                  "card:acme/b:finetune;");
    assert_claims("README.md", "---\nbase_model:\n- a/b\n- https://huggingface.co/c/d/\n---\n",
                  "card:a/b:merge;card:c/d:merge;");
    assert_claims("config.json", "{\"_name_or_path\":\"acme/b\"}", "config:acme/b:;");
    assert_claims("config.json", "{\"_name_or_path\":\"/m/base\"}", "config:/m/base:;");
    assert_claims("config.json", "{\"_name_or_path\":\"./out/checkpoint-5\"}", "");
    assert_claims("config.json",
                  "{\"_name_or_path\":\"a/b\",\"quantization_config\":{},"
                  "\"text_config\":{\"_name_or_path\":\"c/d\"}}",
                  "config:a/b:quantized;config:c/d:;");
    assert_claims("README.md",
                  "---\ntags:\n- x\n- base_model:quantized:a/b\nbase_model: a/b\n---\n",
                  "card:a/b:quantized;");
    assert_claims("README.md", "---\nlibrary_name: peft\nbase_model: a/b\n---\n",
                  "card:a/b:adapter;");
    assert_claims("config.json", "{\"_name_or_path\":null}", "");
    assert_claims("model_index.json", "{\"_class_name\":\"X\",\"_name_or_path\":\"a/b\"}",
                  "config:a/b:;");
    assert_claims("config.json", "{broken", "");
    assert_claims("adapter_config.json", "{\"base_model_name_or_path\":\"roberta-base\"}",
                  "adapter:roberta-base:adapter;");
    assert_claims("mergekit_config.yml",
                  "slices:\n- sources:\n  - model: a/b@main\n    layer_range: [0, 4]\n"
                  "  - model: {path: c/d}\nbase_model: a/b+x/lora\nmerge_method: slerp\n",
                  "mergekit:a/b:merge;mergekit:c/d:merge;mergekit:x/lora:merge;");
    assert_claims("mergekit_config.yml", "models: &a [*a, {model: a/b}]\n", "");
    assert_claims("trainer_state.json",
                  "{\"global_step\":80,\"best_model_checkpoint\":\"out/checkpoint-40\","
                  "\"log_history\":[{\"eval_loss\":1.5},{\"eval_loss\":1.25},{\"loss\":1}]}",
                  "trainer::step 80, eval loss 1.25, best is checkpoint-40;");
}

static void lineage_metadata__merges_and_trainers__become_claims(void **state)
{
    (void)state;
    static const char digest[] = "aB34567890123456789012345678901234567890123456789012345678901234";
    static const char lower[] = "ab34567890123456789012345678901234567890123456789012345678901234";
    AUTO_FREE char *merged = mem_printf("{\"%s\":{\"name\":\"x\"},\"short\":{}}", digest);
    AUTO_FREE char *empty = mem_printf("0xe3b0c44298fc1c14%s", digest + 16);
    const struct {
        const char *key, *value;
    } pairs[] = {{"sd_merge_models", merged},
                 {"ss_new_sd_model_hash", empty}, /* of nothing: some trainers write that */
                 {"ss_sd_model_name", "sd15.safetensors"},
                 {"modelspec.merged_from", "one, a/two"},
                 {"format", "pt"},
                 {"general.repo_url", "https://huggingface.co/a/fine"},
                 {"general.base_model.0.repo_url", "https://hf.co/a/base"},
                 {"general.base_model.x.repo_url", "https://hf.co/a/base"},
                 {"general.source.repo_url", "https://example.org/a/b"},
                 {"general.name", "a/b"}};
    AUTO_BUF struct buf out = {0};
    for (size_t i = 0; i < COUNT_OF(pairs); i++)
        lineage_metadata(pairs[i].key, strlen(pairs[i].key), pairs[i].value, strlen(pairs[i].value),
                         add_claim, &out);
    AUTO_FREE char *want = mem_printf("metadata:sha256:%s:merge;metadata:sd15.safetensors:;"
                                      "metadata:one:merge;metadata:a/two:merge;"
                                      "gguf:a/fine:quantized;gguf:a/base:quantized;",
                                      lower);
    assert_string_equal(out.data, want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(source_walk__hub_cache__names_repo_and_blob),
        cmocka_unit_test(source_walk__several_revisions__are_models_of_their_own),
        cmocka_unit_test(source_walk__broken_hub_states__are_told_and_skipped),
        cmocka_unit_test(source_walk__shared_blobs_of_2026__are_followed_two_hops),
        cmocka_unit_test(source_walk__no_symlink_mode_and_orphans__are_seen),
        cmocka_unit_test(source_walk__checkpoints_in_a_snapshot__are_a_run),
        cmocka_unit_test(source_walk__plain_folders__are_grouped_as_people_do),
        cmocka_unit_test(source_walk__special_files_and_loops__do_not_hang),
        cmocka_unit_test(source_walk__hub_below_a_folder__is_walked_as_a_hub),
        cmocka_unit_test(source_hub_path__variables__move_it),
        cmocka_unit_test(lineage_read__cards_and_configs__become_claims),
        cmocka_unit_test(lineage_metadata__merges_and_trainers__become_claims),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
