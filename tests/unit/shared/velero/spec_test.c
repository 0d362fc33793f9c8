/* SPDX-License-Identifier: Apache-2.0
 *
 * Specs are what they may be: the tables know every field of the schemas in deploy/crds, with its
 * type; each other value in each place is a problem that names the place; and limits.
 */
#include "tests/harness/probe.h"

#include "shared/kube/yaml.h"
#include "shared/velero/spec.h"

enum { PATH_BYTES = 512, SCHEMA_BYTES_MAX = 1 << 20, DEPTH_MAX = 16 };

static xb_json *problems_of(enum xb_spec_of what, xb_json *object)
{
    xb_json *problems = json_object_new_array();
    PROBE_OK(xb_spec_check(what, object, problems, &err));
    return problems;
}

static const char *text_at(xb_json *list, size_t index)
{
    return json_object_get_string(json_object_array_get_idx(list, index));
}

/* ---- the schemas ---- */

static xb_json *schema_of(const char *name)
{
    char path[PATH_BYTES];
    static char text[SCHEMA_BYTES_MAX];
    xb_json *crd = NULL;
    snprintf(path, sizeof path, "%s/../../deploy/crds/%s.yaml", XB_TEST_DATA, name);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    size_t len = fread(text, 1, sizeof text, file);
    fclose(file);
    assert_true(len > 0 && len < sizeof text);
    PROBE_OK(xb_kube_yaml_parse(text, len, &crd, &err));
    xb_json *versions = xb_json_get(crd, "spec.versions");
    assert_non_null(versions);
    xb_json *schema = xb_json_get(json_object_array_get_idx(versions, 0),
                                  "schema.openAPIV3Schema.properties.spec");
    assert_non_null(schema);
    json_object_get(schema);
    json_object_put(crd);
    return schema;
}

static bool type_is(xb_json *schema, const char *type)
{
    return strcmp(xb_json_str(schema, "type", ""), type) == 0;
}

/* One value of the schema with everything in it. The text is a name, a label, a span of time. */
static xb_json *sample_of(xb_json *schema, int depth)
{
    assert_true(depth < DEPTH_MAX);
    if (type_is(schema, "boolean")) {
        return json_object_new_boolean(true);
    }
    if (type_is(schema, "integer")) {
        return json_object_new_int(3);
    }
    if (type_is(schema, "array")) {
        xb_json *list = json_object_new_array();
        json_object_array_add(list, sample_of(xb_json_get(schema, "items"), depth + 1));
        return list;
    }
    if (type_is(schema, "object")) {
        xb_json *object = json_object_new_object();
        xb_json *fields = xb_json_get(schema, "properties");
        xb_json *any = xb_json_get(schema, "additionalProperties");
        if (fields) {
            json_object_object_foreach(fields, key, field)
            {
                /* A choice that the schema only describes. */
                bool choice = strcmp(key, "existingResourcePolicy") == 0;
                json_object_object_add(object, key,
                                       choice ? json_object_new_string("update")
                                              : sample_of(field, depth + 1));
            }
        }
        if (any) {
            json_object_object_add(object, "a", sample_of(any, depth + 1));
        }
        return object;
    }
    assert_true(type_is(schema, "string"));
    xb_json *words = xb_json_get(schema, "enum");
    const char *word = words ? text_at(words, json_object_array_length(words) - 1) : "1h0m0s";
    bool bytes = strcmp(xb_json_str(schema, "format", ""), "byte") == 0;
    return json_object_new_string(bytes ? "aGFsbG8=" : word);
}

/* A place within a sample: what holds the value, and how it is called. */
struct place {
    enum xb_spec_of what;
    xb_json *object; /* the whole */
    xb_json *holder;
    const char *key; /* NULL: the first of a list */
    const char *path;
};

static size_t refused;

/* Puts a value there, looks what is said of it, and puts the right one back. */
static void expect_refused(const struct place *place, const char *value, const char *also)
{
    xb_json *old = NULL;
    if (place->key) {
        assert_true(json_object_object_get_ex(place->holder, place->key, &old));
    } else {
        old = json_object_array_get_idx(place->holder, 0);
    }
    json_object_get(old);
    xb_json *wrong = probe_json(value);
    if (place->key) {
        json_object_object_add(place->holder, place->key, wrong);
    } else {
        json_object_array_put_idx(place->holder, 0, wrong);
    }
    xb_json *problems = problems_of(place->what, place->object);
    size_t len = strlen(place->path);
    const char *first = json_object_array_length(problems) > 0 ? text_at(problems, 0) : "nothing";
    if (json_object_array_length(problems) == 0 || strncmp(first, place->path, len) != 0 ||
        !strchr(":.[", first[len]) || !strstr(first, also)) {
        fail_msg("%s = %.60s: %s", place->path, value, first);
    }
    refused++;
    json_object_put(problems);
    if (place->key) {
        json_object_object_add(place->holder, place->key, old);
    } else {
        json_object_array_put_idx(place->holder, 0, old);
    }
}

static void refuse_types(const struct place *place, xb_json *schema)
{
    static const char *const values[] = {"\"x\\u0000y\"", "\"no\"", "true", "7", "1.5", "[]", "{}"};
    static const struct {
        const char *type;
        unsigned good; /* bits: which of the values are no mistake of type */
    } types[] = {{"string", 2}, {"boolean", 4}, {"integer", 8}, {"array", 32}, {"object", 64}};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        for (size_t k = 0; type_is(schema, types[i].type) && k < 7; k++) {
            if (!(types[i].good & 1U << k)) {
                expect_refused(place, values[k], "");
            }
        }
    }
}

static void walk(const struct place *place, xb_json *schema, xb_json *value)
{
    char path[PATH_BYTES];
    refuse_types(place, schema);
    if (type_is(schema, "array")) {
        snprintf(path, sizeof path, "%s[0]", place->path);
        const struct place first = {place->what, place->object, value, NULL, path};
        walk(&first, xb_json_get(schema, "items"), json_object_array_get_idx(value, 0));
    }
    if (!type_is(schema, "object")) {
        return;
    }
    xb_json *fields = xb_json_get(schema, "properties");
    json_object_object_foreach(value, key, one)
    {
        xb_json *field = NULL;
        snprintf(path, sizeof path, "%s.%s", place->path, key);
        const struct place below = {place->what, place->object, value, key, path};
        if (!fields || !json_object_object_get_ex(fields, key, &field)) {
            field = xb_json_get(schema, "additionalProperties");
        }
        walk(&below, field, one);
    }
    if (fields) {
        expect_refused(place, "{\"novel\":false}", "");
    }
}

static void every_field(void **state)
{
    (void)state;
    static const struct {
        const char *crd;
        enum xb_spec_of what;
        size_t refused_min;
    } specs[] = {{"backups", XB_SPEC_BACKUP, 400},
                 {"schedules", XB_SPEC_SCHEDULE, 400},
                 {"backupstoragelocations", XB_SPEC_LOCATION, 100},
                 {"deletebackuprequests", XB_SPEC_DELETION, 10},
                 {"restores", XB_SPEC_RESTORE, 300}};
    for (size_t i = 0; i < sizeof specs / sizeof specs[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *schema = schema_of(specs[i].crd);
        XB_CLEANUP(xb_json_putp) xb_json *object = json_object_new_object();
        xb_json *spec = sample_of(schema, 0);
        json_object_object_add(object, "spec", spec);
        XB_CLEANUP(xb_json_putp) xb_json *problems = problems_of(specs[i].what, object);
        probe_json_is(problems, "[]"); /* every field of the schema is known */
        const struct place root = {specs[i].what, object, object, "spec", "spec"};
        refused = 0;
        walk(&root, schema, spec);
        assert_true(refused >= specs[i].refused_min);
        XB_CLEANUP(xb_json_putp) xb_json *after = problems_of(specs[i].what, object);
        probe_json_is(after, "[]");
    }
}

/* ---- limits ---- */

struct one_case {
    enum xb_spec_of what;
    const char *spec, *problem; /* NULL: none */
};

static const struct one_case all[] = {
    {XB_SPEC_BACKUP, "{}", NULL},
    {XB_SPEC_BACKUP, "null", NULL},
    {XB_SPEC_BACKUP, "{\"novel\":null,\"ttl\":\"\",\"storageLocation\":\"\"}", NULL},
    {XB_SPEC_BACKUP, "{\"includedNamespces\":[\"a\"]}",
     "spec: unknown field 'includedNamespces': this version of Xebec cannot say what it would "
     "change"},
    {XB_SPEC_BACKUP, "{\"hooks\":{\"resources\":[{\"name\":\"a\",\"prev\":[]}]}}",
     "spec.hooks.resources[0]: unknown field 'prev': this version of Xebec cannot say what it "
     "would change"},
    {XB_SPEC_BACKUP, "{\"defaultVolumesToFsBackup\":\"true\"}",
     "spec.defaultVolumesToFsBackup: want true or false, have string"},
    {XB_SPEC_BACKUP, "{\"ttl\":\"-1h\"}", "spec.ttl: '-1h' must not be negative"},
    {XB_SPEC_BACKUP, "{\"ttl\":\"1752001h\"}", "spec.ttl: '1752001h' is more than 200 years"},
    {XB_SPEC_BACKUP, "{\"ttl\":\"1752000h\"}", NULL},
    {XB_SPEC_BACKUP, "{\"ttl\":\"99999999999h\"}",
     "spec.ttl: '99999999999h' is no span of time, such as 30s or 720h0m0s"},
    {XB_SPEC_BACKUP, "{\"ttl\":\"a week\"}",
     "spec.ttl: 'a week' is no span of time, such as 30s or 720h0m0s"},
    {XB_SPEC_BACKUP, "{\"storageLocation\":\"../other\"}",
     "spec.storageLocation: '../other' is no name of an object"},
    {XB_SPEC_BACKUP, "{\"resourcePolicy\":{\"kind\":\"configmap\",\"name\":\"a/b\"}}",
     "spec.resourcePolicy.name: 'a/b' is no name of an object"},
    {XB_SPEC_BACKUP, "{\"resourcePolicy\":{\"kind\":\"configmap\"}}",
     "spec.resourcePolicy.name: it is required"},
    {XB_SPEC_BACKUP, "{\"uploaderConfig\":{\"parallelFilesUpload\":-1}}",
     "spec.uploaderConfig.parallelFilesUpload: -1 must not be negative"},
    {XB_SPEC_BACKUP, "{\"uploaderConfig\":{\"parallelFilesUpload\":10001}}",
     "spec.uploaderConfig.parallelFilesUpload: 10001 is not between 0 and 10000"},
    {XB_SPEC_BACKUP, "{\"uploaderConfig\":{\"parallelFilesUpload\":99999999999999999999}}",
     "spec.uploaderConfig.parallelFilesUpload: 9223372036854775807 is not between 0 and "
     "10000"},
    {XB_SPEC_BACKUP, "{\"backupType\":\"Full\"}",
     "spec.backupType: want Incremental, have "
     "'Full'"},
    {XB_SPEC_BACKUP, "{\"volumeGroupSnapshotLabelKey\":\"a b\"}",
     "spec.volumeGroupSnapshotLabelKey: 'a b' is no key of a label"},
    {XB_SPEC_BACKUP, "{\"includedNamespaces\":[\"a\",null]}",
     "spec.includedNamespaces[1]: want a string, have null"},
    {XB_SPEC_BACKUP, "[]", "spec: want an object, have array"},
    {XB_SPEC_SCHEDULE, "{\"schedule\":\"@daily\"}", "spec.template: it is required"},
    {XB_SPEC_SCHEDULE, "{\"schedule\":7,\"template\":{}}",
     "spec.schedule: want a string, have int"},
    {XB_SPEC_SCHEDULE, "{\"template\":{\"ttl\":\"-1h\"}}",
     "spec.template.ttl: '-1h' must not be negative"},
    {XB_SPEC_SCHEDULE, "{\"template\":{\"metadata\":{\"labels\":{\"a b\":\"c\"}}}}",
     "spec.template.metadata.labels: 'a b' is no key of a label or annotation"},
    {XB_SPEC_SCHEDULE, "{\"template\":{\"metadata\":{\"labels\":{\"a\":\"b c\"}}}}",
     "spec.template.metadata.labels.a: 'b c' is no value of a label"},
    {XB_SPEC_SCHEDULE, "{\"template\":{\"metadata\":{\"annotations\":{\"a\":\"b c\"}}}}", NULL},
    {XB_SPEC_SCHEDULE, "null", "spec: it is required"},
    {XB_SPEC_LOCATION, "{\"provider\":\"aws\",\"accessMode\":\"WriteOnly\"}",
     "spec.accessMode: want ReadOnly or ReadWrite, have 'WriteOnly'"},
    {XB_SPEC_LOCATION, "{\"provider\":\"aws\",\"objectStorage\":{\"caCert\":\"!\"}}",
     "spec.objectStorage.caCert: it is no base64"},
    {XB_SPEC_LOCATION, "{\"provider\":\"aws\",\"backupSyncPeriod\":\"-1m\"}", NULL},
    {XB_SPEC_LOCATION, "{\"provider\":\"aws\",\"credential\":{\"name\":\"a/../b\",\"key\":\"k\"}}",
     "spec.credential.name: 'a/../b' is no name of an object"},
    {XB_SPEC_RESTORE, "{\"backupName\":\"a\",\"existingResourcePolicy\":\"\"}", NULL},
    {XB_SPEC_RESTORE, "{\"backupName\":\"../a\"}",
     "spec.backupName: '../a' is no name of an object"},
    {XB_SPEC_RESTORE, "{\"scheduleName\":\"a/b\"}",
     "spec.scheduleName: 'a/b' is no name of an object"},
    {XB_SPEC_RESTORE, "{\"existingResourcePolicy\":\"replace\"}",
     "spec.existingResourcePolicy: want none or update, have 'replace'"},
    {XB_SPEC_RESTORE, "{\"restorePVs\":\"false\"}",
     "spec.restorePVs: want true or false, have string"},
    {XB_SPEC_RESTORE, "{\"namespaceMapping\":{\"a\":\"b\"}}", NULL},
    {XB_SPEC_RESTORE, "{\"namespaceMapping\":{\"a\":\"../b\"}}",
     "spec.namespaceMapping.a: 'a' to '../b': both must be names of namespaces"},
    {XB_SPEC_RESTORE, "{\"namespaceMapping\":{\"a\":\"\"}}",
     "spec.namespaceMapping.a: 'a' to '': both must be names of namespaces"},
    {XB_SPEC_RESTORE, "{\"namespaceMapping\":{\"a.b\":\"c\"}}",
     "spec.namespaceMapping.a.b: 'a.b' to 'c': both must be names of namespaces"},
    {XB_SPEC_RESTORE,
     "{\"hooks\":{\"resources\":[{\"name\":\"a\",\"postHooks\":"
     "[{\"init\":{\"initContainers\":[7]}}]}]}}",
     "spec.hooks.resources[0].postHooks[0].init.initContainers[0]: want an object, have int"},
    {XB_SPEC_RESTORE,
     "{\"hooks\":{\"resources\":[{\"name\":\"a\",\"postHooks\":"
     "[{\"init\":{\"initContainers\":[{\"any\":[]}]}}]}]}}",
     NULL},
    {XB_SPEC_DELETION, "{}", "spec.backupName: it is required"},
    {XB_SPEC_DELETION, "{\"backupName\":\"\"}", "spec.backupName: '' is no name of an object"},
    {XB_SPEC_DELETION, "{\"backupName\":\"../../b\"}",
     "spec.backupName: '../../b' is no name of an object"},
};

static void cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        XB_CLEANUP(xb_json_putp) xb_json *object = json_object_new_object();
        json_object_object_add(object, "spec",
                               strcmp(all[i].spec, "null") == 0 ? NULL : probe_json(all[i].spec));
        XB_CLEANUP(xb_json_putp) xb_json *problems = problems_of(all[i].what, object);
        if (!all[i].problem) {
            probe_json_is(problems, "[]");
            PROBE_OK(xb_spec_need(all[i].what, object, &err));
            continue;
        }
        assert_int_equal(json_object_array_length(problems), 1);
        assert_string_equal(text_at(problems, 0), all[i].problem);
        PROBE_REFUSED(xb_spec_need(all[i].what, object, &err), XB_ERR_INVALID);
    }
}

/* Huge lists, and more mistakes than anybody reads. */
static void huge(void **state)
{
    (void)state;
    XB_CLEANUP(xb_json_putp) xb_json *object = probe_json("{\"spec\":{}}");
    xb_json *list = json_object_new_array();
    for (int i = 0; i <= XB_SPEC_LIST_MAX; i++) {
        json_object_array_add(list, json_object_new_int(i));
    }
    json_object_object_add(xb_json_get(object, "spec"), "includedNamespaces", list);
    XB_CLEANUP(xb_json_putp) xb_json *problems = problems_of(XB_SPEC_BACKUP, object);
    probe_json_is(problems, "[\"spec.includedNamespaces: 10001 entries are more than 10000\"]");
    json_object_array_del_idx(list, 0, 1);
    XB_CLEANUP(xb_json_putp) xb_json *many = problems_of(XB_SPEC_BACKUP, object);
    assert_int_equal(json_object_array_length(many), XB_SPEC_PROBLEMS_MAX);

    XB_CLEANUP(xb_json_putp)
    xb_json *schedule = probe_json("{\"spec\":{\"template\":{\"metadata\":{\"annotations\":{}}}}}");
    static char value[XB_SPEC_ANNOTATIONS_BYTES_MAX + 1];
    memset(value, 'x', sizeof value - 1);
    json_object_object_add(xb_json_get(schedule, "spec.template.metadata.annotations"), "a",
                           json_object_new_string(value));
    XB_CLEANUP(xb_json_putp) xb_json *large = problems_of(XB_SPEC_SCHEDULE, schedule);
    probe_json_is(large,
                  "[\"spec.template.metadata.annotations: 262145 bytes are more than 262144\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_field),
        cmocka_unit_test(cases),
        cmocka_unit_test(huge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
