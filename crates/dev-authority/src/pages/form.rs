//! Reading a page back: its name, what went wrong, and its form. Pure; sends nothing.

use url::form_urlencoded::Serializer;

/// A page of the authority as a program sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// `data-page` of the body; see the table of the [module](crate::pages).
    pub name: String,
    /// `data-error`: what went wrong, if something did.
    pub error: Option<String>,
    /// The page's form, if it has one.
    pub form: Option<Form>,
}

/// A form, ready to be filled in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    /// Where it goes: absolute, or relative to the page's URL.
    pub action: String,
    /// The inputs, hidden ones too, with their values.
    pub fields: Vec<Field>,
    /// The buttons that send it.
    pub buttons: Vec<Button>,
}

/// An input of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Its type: `hidden`, `email`, `password`, `text`.
    pub kind: String,
}

/// A button that sends a form and adds its own name and value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Button {
    /// Its name; empty if it adds nothing.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Page {
    /// Reads a page. Anything is read; what is no page of ours has an empty name.
    pub fn parse(html: &str) -> Self {
        let mut page = Self::default();
        let mut open = None;
        for tag in Tags(html) {
            match tag.name.as_str() {
                "body" => page.name = tag.attribute("data-page").unwrap_or_default(),
                "form" if page.form.is_none() => {
                    let action = tag.attribute("action").unwrap_or_default();
                    open.get_or_insert(Form {
                        action,
                        ..Form::default()
                    });
                }
                "/form" => page.form = page.form.or_else(|| open.take()),
                _ => {}
            }
            if let Some(error) = tag.attribute("data-error") {
                page.error.get_or_insert(error);
            }
            if let Some(form) = &mut open {
                form.read(&tag);
            }
        }
        page
    }
}

impl Form {
    /// Reads the first form of a page.
    pub fn parse(html: &str) -> Option<Self> {
        Page::parse(html).form
    }

    /// The value of an input.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.fields
            .iter()
            .find(|field| field.name == name)
            .map(|field| field.value.as_str())
    }

    /// Fills an input in; false if there is none of that name.
    pub fn fill(&mut self, name: &str, value: &str) -> bool {
        match self.fields.iter_mut().find(|field| field.name == name) {
            Some(field) => {
                value.clone_into(&mut field.value);
                true
            }
            None => false,
        }
    }

    /// Whether there is this button.
    pub fn has_button(&self, name: &str, value: &str) -> bool {
        self.buttons
            .iter()
            .any(|button| button.name == name && button.value == value)
    }

    /// The body to POST when a button is pressed, `application/x-www-form-urlencoded`. Without a
    /// name, as the Enter key sends it.
    pub fn submission(&self, button: Option<(&str, &str)>) -> String {
        let mut body = Serializer::new(String::new());
        for field in &self.fields {
            body.append_pair(&field.name, &field.value);
        }
        if let Some((name, value)) = button {
            body.append_pair(name, value);
        }
        body.finish()
    }

    fn read(&mut self, tag: &Tag<'_>) {
        let text = |name| tag.attribute(name).unwrap_or_default();
        match tag.name.as_str() {
            "input" => self.fields.push(Field {
                name: text("name"),
                value: text("value"),
                kind: tag.attribute("type").unwrap_or_else(|| "text".to_owned()),
            }),
            "button" => {
                self.buttons.push(Button {
                    name: text("name"),
                    value: text("value"),
                });
            }
            _ => {}
        }
    }
}

/// The tags of a text, without what is between them.
struct Tags<'a>(&'a str);

struct Tag<'a> {
    /// In lower case; a closing tag's begins with `/`.
    name: String,
    attributes: &'a str,
}

impl<'a> Iterator for Tags<'a> {
    type Item = Tag<'a>;

    fn next(&mut self) -> Option<Tag<'a>> {
        let (_, rest) = self.0.split_once('<')?;
        let end = tag_end(rest);
        let tag = rest.get(..end).unwrap_or_default();
        self.0 = rest.get(end..).unwrap_or_default();
        let name_end = tag
            .find(|c: char| c.is_ascii_whitespace())
            .unwrap_or(tag.len());
        let (name, attributes) = tag.split_at(name_end);
        Some(Tag {
            name: name.to_ascii_lowercase(),
            attributes,
        })
    }
}

/// Where a tag ends: at the first `>` outside double quotes.
fn tag_end(text: &str) -> usize {
    let mut quoted = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '>' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

impl Tag<'_> {
    /// The value of a double-quoted attribute.
    fn attribute(&self, name: &str) -> Option<String> {
        let mut rest = self.attributes;
        while let Some((before, after)) = rest.split_once("=\"") {
            let (value, remaining) = after.split_once('"')?;
            let found = before.rsplit(|c: char| c.is_ascii_whitespace()).next();
            if found.is_some_and(|found| found.eq_ignore_ascii_case(name)) {
                return Some(unescaped(value));
            }
            rest = remaining;
        }
        None
    }
}

/// Undoes the escapes our pages use.
fn unescaped(text: &str) -> String {
    const ESCAPES: [(&str, char); 5] = [
        ("&amp;", '&'),
        ("&lt;", '<'),
        ("&gt;", '>'),
        ("&quot;", '"'),
        ("&#39;", '\''),
    ];
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let known = ESCAPES
            .iter()
            .find(|(spelling, _)| escape.starts_with(spelling));
        let (length, c) = known.map_or((1, '&'), |(spelling, c)| (spelling.len(), *c));
        out.push(c);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_read_filled_in_and_sent() {
        let html = "<BODY data-page=\"password\"><p role=\"alert\" data-error=\"AADSTS50126\">no</p>\
            <form method=\"post\" action=\"/signin\"><input type=\"hidden\" name=\"flow\" \
            value=\"a&amp;b\"><input id=\"passwd\" name=\"passwd\" type=\"password\" required>\
            <button type=\"submit\" name=\"action\" value=\"signin\">Sign in &gt;</button></form>\
            <form action=\"/other\"><input name=\"x\"></form>";
        let page = Page::parse(html);
        assert_eq!(
            (page.name.as_str(), page.error.as_deref()),
            ("password", Some("AADSTS50126"))
        );
        let mut form = page.form.unwrap();
        assert_eq!(
            (form.action.as_str(), form.value("flow")),
            ("/signin", Some("a&b"))
        );
        assert!(form.fill("passwd", "p w") && !form.fill("otc", "x"));
        assert!(form.has_button("action", "signin") && !form.has_button("action", "deny"));
        let body = form.submission(Some(("action", "signin")));
        assert_eq!(body, "flow=a%26b&passwd=p+w&action=signin");
    }

    #[test]
    fn a_quoted_bracket_does_not_end_a_tag() {
        let form = Form::parse("<form action=\"/a>b\"><input name=\"x\" value=\"1>2\"></form>");
        let form = form.unwrap();
        assert_eq!(
            (form.action.as_str(), form.value("x")),
            ("/a>b", Some("1>2"))
        );
    }

    #[test]
    fn anything_is_read_without_panic() {
        for odd in [
            "",
            "<",
            "<form",
            "<form>",
            "<form action=\"",
            "<é é=\"é\">",
            "&",
            "<input &#3\"=>",
        ] {
            let _ = Page::parse(odd);
        }
        assert_eq!(Form::parse("<form action=\"/x\">"), None);
        assert_eq!(unescaped("&&amp;&nbsp;é&"), "&&&nbsp;é&");
    }
}
