import html

from cvae_tf.reporting.markup import paragraph, section, table


def test_values_are_text_in_all_pieces_of_a_page():
    name = '<img src=x onerror="alert(1)"> & <b>'
    page = table([(name, name)], (name, name)) + section(name, "body") + paragraph(name)
    assert page.count(html.escape(name)) == 6
    assert "<img" not in page and "<b>" not in page
