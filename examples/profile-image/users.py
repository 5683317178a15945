"""The users, and what is told to them in plain text."""

from types import MappingProxyType

from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

db = SQLAlchemy()


class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    email = db.Column(db.String(120), unique=True, nullable=False)
    password = db.Column(db.String(255), nullable=False)
    is_active = db.Column(db.Boolean, nullable=False, default=True)
    profile_image_url = db.Column(db.Text)
    profile_image_id = db.Column(db.String(32))
    # Of two changes at once one is refused: the other's image would be nobody's.
    changes = db.Column(db.Integer, nullable=False)
    __mapper_args__ = MappingProxyType({"version_id_col": changes})

    def serialize(self):
        return {"id": self.id, "email": self.email, "profile_image_url": self.profile_image_url}


def set_up(app):
    """The tables and the first user, who an app of your own would sign in, and no HTML for errors."""
    db.init_app(app)
    with app.app_context():
        db.create_all()
        if not db.session.get(User, 1):
            db.session.add(User(id=1, email="ada@example.com", password="no hash: nobody signs in by it"))
            db.session.commit()
    plain = {"Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    app.register_error_handler(HTTPException, lambda error: (error.description, error.code, plain))
    again = "The image was changed in the meantime; try again."
    app.register_error_handler(StaleDataError, lambda error: (again, 409, plain))
