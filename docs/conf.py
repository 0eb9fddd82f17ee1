"""Sphinx's settings for the site. `make book` runs it on copies of the lessons: tools/book.py."""

import os

project = os.environ["BOOK_TITLE"]
author = "The course authors"
project_copyright = author
root_doc = "index"
extensions = ["myst_nb"]
exclude_patterns = ["build"]

# The lessons come with their outputs.
nb_execution_mode = "off"
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 3
# Live views have no picture without a kernel; a still one stands before each.
suppress_warnings = ["mystnb.unknown_mime_type"]

html_title = project
html_theme = "pydata_sphinx_theme"
html_static_path = ["_static"]
html_extra_path = ["../extra"]
html_sidebars = {"index": [], "search": [], "notebooks/*": [], "docs/*": []}
html_css_files = ["course.css"]
html_js_files = ["files.js"]
html_use_index = False
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
mathjax_path = "mathjax/tex-svg.js"  # one file that holds its fonts: it asks for nothing else
html_theme_options = {
    "logo": {"text": project},
    "header_links_before_dropdown": 6,
    "show_toc_level": 1,
    "navigation_with_keys": False,
    "icon_links": [
        {
            "name": "The course's files",
            "url": os.environ["BOOK_REPOSITORY"],
            "icon": "fa-solid fa-code-branch",
        }
    ],
    "footer_start": ["copyright"],
    "footer_end": [],
    "article_header_start": [],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
