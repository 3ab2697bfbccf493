"""Each picture of an example in a box of its own, in which it scrolls where the page is narrow (see `semid.css`)."""

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx_gallery.directives import imgsgnode


class PutPicturesInBoxes(SphinxTransform):
    default_priority = 500

    def apply(self):
        for picture in list(self.document.findall(imgsgnode)):
            box = nodes.container(classes=["picture"])
            picture.replace_self(box)
            box += picture


def setup(app):
    app.add_transform(PutPicturesInBoxes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
