package files

// maxUsageEntries bounds one walk: at about 500,000 entries a second with warm
// caches it takes two seconds. The original calls 100,000 entries in one folder
// broken.
const maxUsageEntries = 1_000_000
