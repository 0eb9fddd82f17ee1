// A browser lets no page that lies on a disk read another: there the results of a search are titles.
if (location.protocol === "file:") DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
