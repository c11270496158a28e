"""Flask with the Flask-SQLAlchemy extension: SQLAlchemy's ORM on psycopg 3."""

from flask import jsonify, request
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import joinedload, selectinload

from dyno_core import contacts, parameters, settings
from dyno_core.heartbeat import heartbeat
from dyno_flask_common import create_app
from dyno_flask_sqlalchemy.models import Contact, ContactType, Email, Phone, db
from dyno_tasks_celery import tasks

NAME = "flask-sqlalchemy"


def database_url():
    parts = settings.database_parts(settings.DATABASE_URL)
    return URL.create(
        "postgresql+psycopg",
        username=parts["user"],
        password=parts["password"],
        host=parts["host"],
        port=parts["port"],
        database=parts["dbname"],
    )


app = create_app(NAME, "psycopg", OperationalError)
app.config["SQLALCHEMY_DATABASE_URI"] = database_url()
# A connection that breaks fails its request, and SQLAlchemy then replaces all that are older. They aren't
# tried before each use (`pool_pre_ping`), for that is one more round trip in each request.
app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {
    "pool_size": settings.POOL_SIZE,
    "max_overflow": 0,
    "pool_timeout": settings.POOL_TIMEOUT,
    "connect_args": {
        "connect_timeout": settings.CONNECT_TIMEOUT,
        "prepare_threshold": settings.PREPARE_THRESHOLD,
    },
}
db.init_app(app)


@app.errorhandler(PoolTimeout)
def no_connection(error):
    return {"detail": parameters.NO_DATABASE}, 503


@app.get("/heartbeat")
def alive():
    try:
        db.session.execute(text("select 1"))
    except (OperationalError, PoolTimeout) as error:
        return heartbeat(NAME, error)
    return heartbeat(NAME)


@app.get("/types")
def types():
    found = db.session.scalars(select(ContactType).order_by(ContactType.type_id))
    return jsonify([contacts.contact_type((one.type_id, one.type_name)) for one in found])


def as_json(contact):
    return {
        "contact_id": contact.contact_id,
        "first_name": contact.first_name,
        "last_name": contact.last_name,
        "contact_type": {
            "type_id": contact.contact_type.type_id,
            "type_name": contact.contact_type.type_name,
        },
        "phones": [phone.phone_number for phone in contact.phones],
        "emails": [email.email_address for email in contact.emails],
    }


# Three statements, whatever their number of rows.
CONTACTS = select(Contact).options(
    joinedload(Contact.contact_type, innerjoin=True),
    selectinload(Contact.phones),
    selectinload(Contact.emails),
)


def select_page(page):
    statement = CONTACTS.order_by(Contact.contact_id).limit(page.limit).offset(page.offset)
    if page.starts:
        statement = statement.where(func.lower(Contact.last_name).like(func.lower(page.like)))
    return statement


@app.get("/contacts/for")
def contacts_for():
    page = parameters.page(request.args.getlist)
    # A server-side cursor. One chunk of at most a page, for eager loading is done once for each chunk.
    statement = select_page(page).execution_options(yield_per=page.limit)
    return jsonify([as_json(contact) for contact in db.session.scalars(statement)])


@app.get("/contacts/fetch")
def contacts_fetch():
    statement = select_page(parameters.page(request.args.getlist))
    return jsonify([as_json(contact) for contact in db.session.scalars(statement).all()])


def find(number):
    contact = db.session.scalars(CONTACTS.where(Contact.contact_id == number)).one_or_none()
    if contact is None:
        raise parameters.no_contact(number)
    return as_json(contact)


@app.get("/contacts/<contact_id>")
def contact(contact_id):
    return find(parameters.contact_id(contact_id))


@app.post("/contacts")
def contact_create():
    new = parameters.new_contact(request.get_data())
    contact = Contact(
        first_name=new.first_name,
        last_name=new.last_name,
        type_id=new.type_id,
        phones=[Phone(phone_number=phone) for phone in new.phones],
        emails=[Email(email_address=email) for email in new.emails],
    )
    db.session.add(contact)
    try:
        db.session.commit()
    except IntegrityError:
        raise parameters.unknown_type(new.type_id) from None
    # Read back what the database has.
    return find(contact.contact_id), 201


@app.post("/v1/tasks")
def task_start():
    return tasks.start(parameters.task_n(request.get_data())), 202


@app.get("/v1/tasks/<task_id>")
def task_result(task_id):
    return tasks.result(task_id)
