/* SPDX-License-Identifier: MIT */
/* The fuzz targets. */
#include "tests/fuzz/targets.h"

#include "base/file.h"
#include "base/reader.h"
#include "base/text.h"
#include "base/yaml.h"
#include "bits/simd.h"
#include "codec/codec.h"
#include "formats/formats.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"
#include "lineage/lineage.h"
#include "model/names.h"
#include "store/manifest.h"
#include "store/object.h"
#include "store/store.h"

#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static void run_safetensors(const uint8_t *data, size_t n)
{
    struct layout layout = {0};
    struct reader reader = reader_memory(data, n);
    size_t count;
    if (safetensors_parse(&reader, &layout, NULL) == 0) {
        uint64_t end = 0;
        struct range *ranges = layout_ranges(&layout, &count);
        for (size_t i = 0; i < count; i++) { /* what was accepted covers the file exactly */
            if (ranges[i].offset != end)
                abort();
            end += ranges[i].bytes;
        }
        if (end != n)
            abort();
        free(ranges);
    }
    layout_release(&layout);
}

static void seed_safetensors(int i, struct buf *out)
{
    static const char *const headers[] = {
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        ("{\"__metadata__\":{\"format\":\"pt\"},\"x\\u0000\":{\"dtype\":\"BF16\",\"shape\":[2,1],"
         "\"data_offsets\":[0,4]}}"),
        "{\"a\":[\"U8\",[4],[0,4]],\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[4,4]}}",
        "{\"a\":{\"dtype\":{\"I32\":null},\"shape\":[],\"data_offsets\":[0,4],\"x\":[[{}]]}}"};
    uint64_t length = strlen(headers[i]);
    buf_add(out, &length, sizeof length);
    buf_str(out, headers[i]);
    buf_add(out, "\1\2\3\4", 4);
}

static void run_gguf(const uint8_t *data, size_t n)
{
    struct layout layout = {0};
    struct reader reader = reader_memory(data, n);
    gguf_pairs(&reader, &layout);
    for (size_t i = 0; i < layout.pair_count; i++)
        if (layout.pairs[i].value_len > MIN(n, (size_t)GGUF_TEXT_MOST))
            abort();
    layout_release(&layout);
}

static void seed_gguf(int i, struct buf *out)
{
    static const char number[] = "\1\0\0\0\0\0\0\0k\4\0\0\0\7\0\0\0";
    static const char text[] = "\1\0\0\0\0\0\0\0t\10\0\0\0\3\0\0\0\0\0\0\0abc";
    static const char words[] = "\1\0\0\0\0\0\0\0w\11\0\0\0\10\0\0\0\1\0\0\0\0\0\0\0"
                                "\2\0\0\0\0\0\0\0ab";
    buf_add(out, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\3\0\0\0\0\0\0\0", 24);
    if (i != 1)
        buf_add(out, number, sizeof number - 1);
    if (i != 2)
        buf_add(out, words, sizeof words - 1);
    buf_add(out, text, sizeof text - 1);
}

static void ignore_claim(void *context, enum claim_kind kind, const char *target,
                         const char *detail)
{
    (void)context;
    (void)kind;
    (void)target;
    (void)detail;
}

static void run_lineage(const uint8_t *data, size_t n)
{
    static const char *const names[] = {"README.md", "config.json", "adapter_config.json",
                                        "mergekit_config.yml", "trainer_state.json"};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        (void)lineage_read(names[i], (const char *)data, n, ignore_claim, NULL, NULL);
    lineage_metadata("sd_merge_models", 15, (const char *)data, n, ignore_claim, NULL);
    lineage_metadata("general.repo_url", 16, (const char *)data, n, ignore_claim, NULL);
}

static void seed_lineage(int i, struct buf *out)
{
    static const char *const texts[] = {
        "---\nbase_model:\n- a/b\n- c\nbase_model_relation: merge\n---\n",
        "---\nbase_model: &a [x, *a]\n---",
        "{\"_name_or_path\":\"a/b\",\"quantization_config\":{}}",
        "{\"base_model_name_or_path\":\"x\"}"};
    buf_str(out, texts[i]);
}

static void ignore_scalar(void *context, const char *key, const char *value)
{
    (void)context;
    (void)key;
    (void)value;
}

/* The bytes as a card, and as the value of a key, up to beyond the limit of a block. */
static void run_front_matter(const uint8_t *data, size_t n)
{
    static const char *const keys[] = {"base_model", "tags", NULL};
    AUTO_BUF struct buf card = {0};
    yaml_front_matter((const char *)data, n, keys, ignore_scalar, NULL);
    yaml_scalars((const char *)data, n, keys, ignore_scalar, NULL);
    buf_str(&card, "---\nbase_model: ");
    for (size_t i = 0; n && i < (size_t)(data[0] % 3) * YAML_BLOCK_LIMIT / n; i++)
        buf_add(&card, data, n);
    buf_add(&card, data, n);
    buf_str(&card, "\ntags: x\n---\n");
    yaml_front_matter(card.data, card.len, keys, ignore_scalar, NULL);
}

static void seed_front_matter(int i, struct buf *out)
{
    static const char *const texts[] = {"---\nbase_model: [a, b]\n---\n",
                                        "xxxxxxxxxxxxxxxxxxxxxxxxx", "- a\n- {b: c}\n  # d\n",
                                        "\"q\\n\" | >\n \t"};
    buf_str(out, texts[i]);
}

static void ignore_file(void *context, const char *file)
{
    (void)context;
    (void)file;
}

static void run_index(const uint8_t *data, size_t n)
{
    (void)format_shard_index((const char *)data, n, ignore_file, NULL, NULL);
}

/* Everything that looks at a name for a pattern; the two halves of the input are two names. */
static void run_names(const uint8_t *data, size_t n)
{
    AUTO_FREE char *name = mem_strndup((const char *)data, n / 2);
    AUTO_FREE char *other = mem_strndup((const char *)data + n / 2, n - n / 2);
    struct shard_name shard;
    struct hash128 id;
    if (name_shard(name, &shard) && shard.prefix > strlen(name))
        abort();
    (void)name_checkpoint(name);
    (void)name_is_weight(name);
    (void)name_is_companion(name);
    (void)name_is_config(name);
    (void)digest_of_name(name);
    (void)store_name_id(name, &id);
    (void)store_name_is_pack(name);
    if (file_path_is_safe(name, strlen(name)) && (name[0] == '/' || strstr(name, "/../")))
        abort();
    int order = text_natural_compare(name, other), back = text_natural_compare(other, name);
    if ((order < 0) != (back > 0) || (order == 0) != (back == 0))
        abort();
    AUTO_FREE char *safe = text_safe(name);
    for (const unsigned char *p = (const unsigned char *)safe; *p; p++)
        if (*p < 0x20 || *p == 0x7f)
            abort();
    (void)text_width(safe);
}

static void seed_names(int i, struct buf *out)
{
    static const char *const texts[] = {
        "model-00001-of-00002.safetensorsmodel-00002-of-00002.safetensors",
        "checkpoint-12checkpoint-2", "adapter_config.jsonmodel.safetensors.index.json",
        "ab/abcdef0123456789abcdef0123456789.pack\xff\xc2\x9b/../x"};
    buf_str(out, texts[i]);
}

static void seed_index(int i, struct buf *out)
{
    static const char *const texts[] = {
        "{\"metadata\":{\"total_size\":5},\"weight_map\":{\"a\":\"m-00001-of-00002.safetensors\"}}",
        "{\"weight_map\":{\"a\":\"../x\"}}", "model-00001-of-00002.safetensors", "checkpoint-12"};
    buf_str(out, texts[i]);
}

static void run_manifest(const uint8_t *data, size_t n)
{
    struct manifest m = {0};
    (void)manifest_read((const char *)data, n, &m, NULL);
    manifest_release(&m);
    /* The same bytes behind a right checksum: the fields themselves must be checked. */
    AUTO_BUF struct buf text = {0};
    struct hash128 sum = hash128_of(data, n);
    char hex[HASH128_HEX];
    hash128_hex(hex, &sum);
    buf_printf(&text, "tare-manifest 1 %s\n", hex);
    buf_add(&text, data, n);
    buf_char(&text, '\n');
    struct manifest again = {0};
    (void)manifest_read(text.data, text.len, &again, NULL);
    manifest_release(&again);
}

static void seed_manifest(int i, struct buf *out)
{
    struct manifest m = {.fid = "000102030405060708090a0b0c0d0e0f",
                         .path = "/a\xff/b",
                         .root = "/a",
                         .format = "safetensors",
                         .size = 12,
                         .hash = hash128_of("x", 1)};
    uint64_t shape[] = {3};
    struct manifest_range ranges[] = {{.bytes = 8, .id = m.hash},
                                      {.offset = 8,
                                       .bytes = 4,
                                       .id = m.hash,
                                       .bases = &m.hash,
                                       .base_count = 1,
                                       .at = i % 3 ? 5 : 0,
                                       .sha = {.b = {7}},
                                       .name = "t",
                                       .name_len = 1,
                                       .shape = shape,
                                       .dims = 1}};
    struct manifest_link link = {"/a/l", "../b", 1};
    m.ranges = ranges;
    m.range_count = 2;
    m.links = &link;
    m.link_count = 1;
    struct manifest_companion companions[] = {
        {"config.json", "/a/config.json", 8, 0644, 0, 0, 5},
        {NULL, "/a/empty", 0, 0644, 0, 0, 5},
        {"tokenizer.json", "/a/tokenizer.json", 4, 0644, 0, 0, 5}};
    if (i % 5 == 0) {
        m.state = MANIFEST_COMPANIONS;
        m.companions = companions;
        m.companion_count = 3;
    }
    AUTO_BUF struct buf text = {0};
    manifest_write(&m, &text);
    const char *body = strchr(text.data, '\n') + 1;
    if (i % 2)
        buf_str(out, text.data);
    else
        buf_add(out, body, strlen(body) - 1);
}

static void ignore_brief(void *context, struct manifest *brief)
{
    (void)context;
    (void)brief;
}

static void run_roster(const uint8_t *data, size_t n)
{
    AUTO_BUF struct buf text = {0};
    struct hash128 sum = hash128_of(data, n);
    char hex[HASH128_HEX];
    struct roster roster;
    (void)roster_read((const char *)data, n, ignore_brief, NULL, &roster, NULL);
    hash128_hex(hex, &sum);
    buf_printf(&text, "tare-roster 2 %s %zu\n", hex, n);
    buf_add(&text, data, n);
    buf_char(&text, '\n');
    (void)roster_read(text.data, text.len, ignore_brief, NULL, &roster, NULL);
    /* Every line with its right checksum. */
    text.len = 0;
    roster_begin(&text);
    for (const char *p = (const char *)data, *end = p + n; p < end;) {
        const char *line = p + 1, *newline = memchr(p, '\n', (size_t)(end - p));
        size_t len = newline && newline > p ? (size_t)(newline - line) : 0;
        buf_printf(&text, "%c %016llx ", *p == '-' ? '-' : '+',
                   (unsigned long long)hash64_of(line, len));
        buf_add(&text, line, len);
        buf_char(&text, '\n');
        p = newline ? newline + 1 : end;
    }
    (void)roster_read(text.data, text.len, ignore_brief, NULL, &roster, NULL);
}

static void seed_roster(int i, struct buf *out)
{
    struct manifest_view view = {"0123", "a/b", "hf", "/r", "/r/a", "", "", "m.safetensors"};
    struct manifest m = {.fid = "000102030405060708090a0b0c0d0e0f",
                         .path = "/a/b",
                         .root = "/a",
                         .format = "opaque",
                         .size = 3,
                         .views = &view,
                         .view_count = 1};
    if (i % 2)
        roster_begin(out);
    for (int k = 0; k < i; k++)
        roster_add(&m, out);
    if (i % 3 == 2)
        roster_remove(m.fid, out);
}

static void run_format(const uint8_t *data, size_t n)
{
    struct store_format format;
    if (store_format_read((const char *)data, n, &format, NULL) == 0 &&
        (format.version < 1 || format.version > STORE_VERSION || format.incompatible))
        abort();
    /* The same lines with the right checksum behind them. */
    AUTO_BUF struct buf text = {0};
    buf_add(&text, data, n);
    buf_printf(&text, "check %016llx\n", (unsigned long long)hash64_of(data, n));
    (void)store_format_read(text.data, text.len, &format, NULL);
}

static void seed_format(int i, struct buf *out)
{
    static const char *const texts[] = {"tare-store 1\ncreated 7\n", "tare-store 2\ncreated 7\n",
                                        "tare-store 9\nwhat comes later\n"};
    const struct store_format format = {
        .created = 1700000000, .compatible = (uint64_t)i, .incompatible = i % 2 ? 4 : 0};
    if (i < 3)
        buf_str(out, texts[i]);
    else
        store_format_write(&format, out);
}

static void put_le(uint8_t *p, uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(v >> 8 * i);
}

static uint32_t get_le(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* Every chunk of an object or pack, read and decoded. */
static void read_object(const uint8_t *data, size_t n)
{
    static struct codec_work *work;
    struct object *object;
    int fd = memfd_create("object", 0);
    if (fd < 0 || write(fd, data, n) != (ssize_t)n)
        abort();
    if (object_open_fd(fd, n, &object, NULL) < 0)
        return;
    if (!work)
        work = codec_work_new();
    uint8_t *encoded = mem_alloc(CODEC_CHUNK_BYTES), *raw = mem_alloc(CODEC_CHUNK_BYTES);
    uint8_t *base = mem_zalloc(CODEC_CHUNK_BYTES);
    for (uint32_t e = 0; e < object->entry_count; e++) {
        const struct object_entry *entry = &object->entries[e];
        (void)object_find(object, &entry->id);
        for (uint32_t i = entry->first; i < entry->first + entry->count; i++) {
            const struct object_chunk *chunk = &object->chunks[i];
            (void)object_read(object, chunk, encoded, NULL);
            (void)codec_decode(work, chunk->codec, entry->dtype, encoded, chunk->stored, base,
                               chunk->raw, raw, chunk->raw, NULL);
        }
    }
    free(encoded);
    free(raw);
    free(base);
    object_free(object);
}

/* As it is, and with right checksums in header and tables, so that what they guard is met. */
static void run_object(const uint8_t *data, size_t n)
{
    enum { HEAD = 48 };
    static const struct {
        uint32_t version, entry, chunk;
    } versions[] = {{1, 56, 32}, /* chunks have no checksums of their encoded bytes */
                    {OBJECT_VERSION, 64, 16}};
    read_object(data, n);
    if (n < HEAD)
        return;
    AUTO_FREE uint8_t *copy = mem_alloc(n);
    for (size_t i = 0; i < COUNT_OF(versions); i++) {
        memcpy(copy, data, n);
        uint64_t tables = (uint64_t)get_le(copy + 12) * versions[i].entry +
                          (uint64_t)get_le(copy + 16) * versions[i].chunk;
        memcpy(copy, "tareobj\n", 8);
        put_le(copy + 8, versions[i].version, 4);
        put_le(copy + 24, n, 8);
        put_le(copy + 32, hash64_of(copy + HEAD, tables > n - HEAD ? 0 : (size_t)tables), 8);
        put_le(copy + 40, hash64_of(copy, 40), 8);
        read_object(copy, n);
    }
}

static void seed_object(int i, struct buf *out)
{
    char folder[] = "/tmp/tare-fuzz-XXXXXX";
    struct object_writer *writer;
    struct object_entry entries[2] = {{.id = hash128_of("a", 1), .bytes = 6, .dtype = DTYPE_BF16},
                                      {.id = hash128_of("b", 1), .bytes = 3, .dtype = DTYPE_U8}};
    uint64_t size;
    if (!mkdtemp(folder))
        abort();
    int dir = open(folder, O_RDONLY | O_DIRECTORY);
    if (object_writer_new(dir, "o", entries, 1 + (uint32_t)(i % 2), i % 4 < 2, &writer, NULL) < 0)
        abort();
    (void)object_writer_add(writer, CODEC_RAW, (const uint8_t *)"abcdef", 6, 0, NULL);
    if (i % 2)
        (void)object_writer_add(writer, CODEC_RAW, (const uint8_t *)"abc", 3, 0, NULL);
    if (object_writer_finish(writer, &size, NULL) < 0)
        abort();
    object_writer_free(writer);
    int fd = openat(dir, "o", O_RDONLY);
    char bytes[512];
    ssize_t n = read(fd, bytes, sizeof bytes);
    buf_add(out, bytes, (size_t)MAX(n, 0));
    close(fd);
    unlinkat(dir, "o", 0);
    close(dir);
    rmdir(folder);
}

/* Bytes that stand for weights or for their bases: as floats they lie near each other. */
static void fill_base(uint8_t *base, size_t n)
{
    for (size_t i = 0; i < n; i++)
        base[i] = (uint8_t)(i % 2 ? 0x3c + i % 7 / 3 : i * 7);
}

static struct codec_work *work_of_codecs(void)
{
    static struct codec_work *work;
    if (!work)
        work = codec_work_new();
    return work;
}

/*
 * First byte: vector path, and whether the base has all rows; second: dtype; third and fourth:
 * elements; the rest is the stream.
 */
static void decode_with(enum codec codec, const uint8_t *data, size_t n)
{
    if (n < 4)
        return;
    enum dtype dtype = (enum dtype)(data[1] % DTYPE_COUNT);
    size_t bytes = (1 + (data[2] | (size_t)data[3] << 8)) * dtype_width(dtype);
    size_t base_n = data[0] & 1 ? bytes / 2 / dtype_width(dtype) * dtype_width(dtype) : bytes;
    AUTO_FREE uint8_t *dst = mem_alloc(bytes), *base = mem_alloc(bytes);
    fill_base(base, bytes);
    simd_use((enum simd)((data[0] >> 1) % SIMD_COUNT));
    (void)codec_decode(work_of_codecs(), codec, dtype, data + 4, n - 4, base, base_n, dst, bytes,
                       NULL);
}

/* Streams of each codec: i: dtype, and how much differs from the base. */
static void seed_decode_with(enum codec codec, int i, struct buf *out)
{
    enum { N = 40000 };
    static const enum dtype types[] = {DTYPE_BF16, DTYPE_F32, DTYPE_F16, DTYPE_BF16};
    static const size_t every[] = {1, 3, 5, 97};
    enum dtype dtype = types[i % 4];
    size_t count = i == 2 ? 300 : N, n = count * dtype_width(dtype);
    AUTO_FREE uint8_t *raw = mem_alloc(n), *base = mem_alloc(n);
    AUTO_FREE uint8_t *encoded = mem_alloc(codec_bound(n));
    fill_base(base, n);
    memcpy(raw, base, n);
    for (size_t k = 0; k < n; k += every[i % 4] * dtype_width(dtype))
        raw[k] = (uint8_t)(raw[k] + k % 5);
    uint8_t head[4] = {(uint8_t)(i & 1), (uint8_t)dtype, (uint8_t)(count - 1),
                       (uint8_t)((count - 1) >> 8)};
    bool delta = codec == CODEC_DELTA;
    struct codec_chunk chunk = {dtype, raw, base, n, delta && (i & 1) ? n / 2 : n};
    size_t len = codec_encode(work_of_codecs(), codec, &chunk, encoded);
    buf_add(out, head, sizeof head);
    buf_add(out, len ? encoded : raw, len ? len : 100);
}

#define DECODE_TARGET(name, codec)                                                                 \
    static void run_decode_##name(const uint8_t *data, size_t n)                                   \
    {                                                                                              \
        decode_with(codec, data, n);                                                               \
    }                                                                                              \
    static void seed_decode_##name(int i, struct buf *out)                                         \
    {                                                                                              \
        seed_decode_with(codec, i, out);                                                           \
    }
DECODE_TARGET(zstd, CODEC_ZSTD)
DECODE_TARGET(bitx, CODEC_BITX)
DECODE_TARGET(planes_1, CODEC_PLANES_1)
DECODE_TARGET(planes, CODEC_PLANES)
DECODE_TARGET(delta, CODEC_DELTA)

/*
 * Round trips: first byte dtype, second how often the content is repeated, third how many rows
 * the base lacks; the rest is content and base. What comes back is equal, and every vector path
 * makes the same bytes.
 */
static void run_encode(const uint8_t *data, size_t n)
{
    if (n < 5)
        return;
    enum dtype dtype = (enum dtype)(data[0] % DTYPE_COUNT);
    size_t width = dtype_width(dtype), half = (n - 3) / 2, bytes = half * (1 + data[1] % 64);
    bytes -= bytes % width;
    if (!bytes)
        return;
    AUTO_FREE uint8_t *raw = mem_alloc(bytes), *base = mem_alloc(bytes);
    for (size_t i = 0; i < bytes; i++) {
        raw[i] = data[3 + i % half];
        base[i] = data[3 + half + i % half];
    }
    struct codec_work *work = work_of_codecs();
    AUTO_FREE uint8_t *a = mem_alloc(codec_bound(bytes)), *b = mem_alloc(codec_bound(bytes));
    AUTO_FREE uint8_t *back = mem_alloc(bytes);
    for (int codec = 0; codec < CODEC_COUNT; codec++) {
        struct codec_chunk chunk = {dtype, raw, base, bytes, bytes};
        if (codec == CODEC_DELTA && data[2])
            chunk.base_n = bytes / data[2] / width * width;
        simd_use(SIMD_SCALAR);
        size_t len = codec_encode(work, (enum codec)codec, &chunk, a);
        for (int level = SIMD_SCALAR; level < SIMD_COUNT; level++) {
            simd_use((enum simd)level);
            if (codec_encode(work, (enum codec)codec, &chunk, b) != len ||
                (len && memcmp(a, b, len) != 0))
                abort();
            if (len && (codec_decode(work, (enum codec)codec, dtype, a, len, chunk.base,
                                     chunk.base_n, back, bytes, NULL) < 0 ||
                        memcmp(back, raw, bytes) != 0))
                abort();
        }
    }
}

static void seed_encode(int i, struct buf *out)
{
    static const enum dtype types[] = {DTYPE_F16, DTYPE_BF16, DTYPE_F32, DTYPE_I32};
    buf_char(out, (char)types[i % 4]);
    buf_char(out, (char)(i * 21));
    buf_char(out, (char)(i == 3 ? 2 : 0));
    for (int k = 0; k < 6000; k++)
        buf_char(out, (char)(k % 3000 % 11 * 9 + (k % 501 == 0)));
}

const struct fuzz_target fuzz_targets[] = {
    {"safetensors", run_safetensors, seed_safetensors},
    {"gguf", run_gguf, seed_gguf},
    {"lineage", run_lineage, seed_lineage},
    {"front-matter", run_front_matter, seed_front_matter},
    {"index", run_index, seed_index},
    {"names", run_names, seed_names},
    {"format", run_format, seed_format},
    {"roster", run_roster, seed_roster},
    {"manifest", run_manifest, seed_manifest},
    {"object", run_object, seed_object},
    {"decode-zstd", run_decode_zstd, seed_decode_zstd},
    {"decode-bitx", run_decode_bitx, seed_decode_bitx},
    {"decode-planes-1", run_decode_planes_1, seed_decode_planes_1},
    {"decode-planes", run_decode_planes, seed_decode_planes},
    {"decode-delta", run_decode_delta, seed_decode_delta},
    {"encode", run_encode, seed_encode},
};
const size_t fuzz_target_count = COUNT_OF(fuzz_targets);
