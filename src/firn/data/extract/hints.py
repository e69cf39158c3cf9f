"""Words that tell what an element or a line is for: in class names and ids, and in the text itself.

Words of classes count wherever a name has them: `site-footer`, `siteFooter` and `footer__links` all say footer.
"""

from __future__ import annotations

from firn.data.extract.tags import hash_table

#: Group of hints (one bit of a mask) -> words in class, id, role, itemprop and such attributes.
CLASS_HINTS = {
    "nav": "nav navbar navigation menu menus submenu topnav subnav megamenu dropdown navlink menuitem menubar",
    "tab": "tab tabs tabpanel tablist panel",
    "header": "header masthead topbar head top hdr site",
    "footer": "footer foot bottom colophon ftr contentinfo",
    "sidebar": "sidebar side aside rail sidebars secondary left right complementary",
    "content": "content contents text copy richtext prose rte wysiwyg markdown typography rich rendered",
    "main": "main primary maincontent",
    "article": "article story hentry articlebody newsarticle blogposting",
    "post": "post posts entry blog postbody postcontent posting single",
    "body": "body",
    "comment": "comment comments disqus commentlist respond commenttext",
    "reply": "reply replies answer answers accepted quote quoted",
    "forum": "forum thread topic message messages messagebody discussion conversation bbcode bbwrapper cooked",
    "share": "share sharing social facebook twitter pinterest whatsapp linkedin addthis follow instagram socials",
    "related": "related recommended recommendations similar suggestions suggested also upsell crosssell you interested",
    "more": "more recent popular trending latest readmore",
    "advert": "promo promotion ad ads advert advertisement adv sponsor sponsored dfp advertising adsense",
    "banner": "banner cta announcement notice alert notification",
    "consent": "cookie cookies consent gdpr onetrust privacy ccpa",
    "legal": "legal copyright disclaimer terms policy",
    "breadcrumb": "breadcrumb breadcrumbs crumb crumbs",
    "author": "author byline bio authors writer contributor",
    "user": "user username avatar profile member usercard poster",
    "meta": "meta metadata info details",
    "date": "date time timestamp posted published datepublished pubdate datetime",
    "tag": "tag tags category categories label labels keywords badge",
    "title": "title headline heading subtitle name subheading",
    "price": "price prices pricing offer offers cost sale discount",
    "cart": "cart buy checkout basket shipping stock quantity purchase wishlist",
    "product": "product products sku pdp goods",
    "review": "review reviews rating ratings stars testimonial testimonials reviewbody feedback",
    "description": "description desc summary excerpt intro lead abstract dek standfirst overview lede",
    "teaser": "teaser preview snippet",
    "feature": "feature features specs specifications attributes spec specification benefit benefits",
    "card": "card cards tile tiles grid",
    "list": "list listing results items item row collection listitem result",
    "popup": "popup modal overlay dialog lightbox toast drawer offcanvas tooltip flyout",
    "hidden": "hidden hide invisible collapse collapsed sr visually screenreader srt offscreen",
    "newsletter": "newsletter subscribe subscription signup mailing optin email",
    "login": "login signin register account auth logout paywall",
    "search": "search filter filters facet facets sort refine searchbox",
    "pager": "pagination pager paging pages next prev previous loadmore page paginate",
    "caption": "caption credit figcaption",
    "image": "image img photo gallery thumbnail thumb picture figure media",
    "carousel": "carousel slider slide slideshow swiper slick",
    "toc": "toc tableofcontents",
    "code": "code highlight example syntax sourcecode",
    "reference": "doc docs documentation api reference method function section docutils chapter",
    "hero": "hero jumbotron",
    "faq": "faq faqs accordion question questions",
    "widget": "widget widgets module plugin block",
    "button": "button btn buttons",
    "link": "link links",
    "icon": "icon icons logo svg",
    "skip": "skip skiplink accessibility a11y",
    "locale": "language lang locale country region currency languages",
    "signature": "signature sig",
    "noprint": "noprint print printonly toolbar tools actions action controls",
    "video": "video player audio podcast",
    "form": "form input field fields contact fieldset",
    "place": "address map location store hours phone branch",
    "stats": "count views stats likes votes vote score counter",
}  # fmt: skip

#: Group of words -> words of the text. English, and what other languages of the web write in the same places.
TEXT_HINTS = {
    "function": """the of and to in a is that for it was with as on by at from are this be have an or not which but his
        he they had were one all you can has there their more when will would who its also if than so no been into we
        what about out up my our your de la le les et des est dans un une du que pour sur qui par au pas plus der die
        und das den von zu mit ist ein eine auf nicht des im dem sich auch es el los las del en y una por con para se su
        il di che e per non della sono do da em os o uma com na het van een dat niet zijn""",
    "policy": """privacy policy terms cookies cookie conditions copyright reserved rights disclaimer gdpr datenschutz
        impressum agb confidentialité mentions légales legal privacidad""",
    "account": """login log sign signin signup register account password email subscribe newsletter unsubscribe anmelden
        registrieren connexion inscription suscribirse""",
    "share": """share facebook twitter pinterest linkedin whatsapp tweet instagram follow print copy link
        teilen partager
        compartir youtube tiktok reddit telegram""",
    "commerce": """cart add buy shop checkout price shipping delivery wishlist sale off free stock quantity order
        returns""",
    "more": """more read view see all show load next previous back continue learn click here menu skip search close home
        open toggle expand mehr weiter zurück lire suite voir leer más""",
    "reply": """reply comment comments replies report like likes quote posted answered asked edit flag upvote votes
        views""",
    "date": """january february march april may june july august september october november december jan feb mar apr jun
        jul aug sep sept oct nov dec monday tuesday wednesday thursday friday saturday sunday ago hours days minutes
        updated published januar februar märz mai juni juli oktober dezember janvier février mars avril juin juillet
        août septembre octobre novembre décembre enero""",
    "related": """related recommended similar popular trending latest recent you might also like most articles posts
        stories""",
    "by": "by author written editor staff photo image credit source von par por",
}  # fmt: skip


def _words(groups: dict[str, str]) -> dict[str, int]:
    """Word -> mask of its groups."""
    masks: dict[str, int] = {}
    for bit, words in enumerate(groups.values()):
        for word in words.split():
            masks[word] = masks.get(word, 0) | 1 << bit
    return masks


#: A bit beyond those of CLASS_HINTS, which the classifier does not see: elements that may be the line numbers or the
#: lines of a code listing (`firn.data.extract.listings`), and images that may be formulas (`firn.data.extract.maths`).
LOOK_CLOSER = 1 << 62
_LOOK_CLOSER = """gutter lineno linenos linenodiv linenumber linenumbers linenr lines line code blob ln lnt lntd
    rouge crayon fragment tex latex mwe math formula equation codecogs mathtex mimetex"""

_class_masks = _words(CLASS_HINTS)
for _name in _LOOK_CLOSER.split():
    _class_masks[_name] = _class_masks.get(_name, 0) | LOOK_CLOSER
CLASS_HASHES, CLASS_MASKS = hash_table(_class_masks)
TEXT_HASHES, TEXT_MASKS = hash_table(_words(TEXT_HINTS))
