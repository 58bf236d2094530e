"""Ordinary sentences about an X, of many relations: against them a wording is told from every other."""

MASK = " X"
"""What stands for a subject."""

SENTENCES = tuple(
    """X was born in the town of
X died in the year
Where was X born?
X is married to
Who is the mother of X?
X has a brother named
The child of X is
X grew up in the village of
X studied at the university of
X holds a degree in
X works in the field of
X earns a living as a
X is employed by
X has been a member of the party
X belongs to the religion of
The nationality of X is
X holds the citizenship of
X writes in the language of
X learned to play an instrument called the
X sings for the band
The first album of X is called
X signed with the record label
X plays football for the team
X plays in the league called the
What sport does X play?
The coach of X is
The stadium of X is named
X was directed by
Who composed the music of X?
X was painted by
X was first published in
The main character of X is
X stars the actor
X was broadcast on the channel
The genre of X is
X is based on the novel by
X was produced by the studio
The sequel to X is
X was invented by
X is named after
X was built by the architect
X was opened to visitors in
X stands on the bank of the river
How tall is X?
The height of X is
The length of X is
X flows into the
The source of X lies in the
X lies in the mountain range of
X is an island in the
X borders the country of
X lies south of the town of
What is the area of X?
The population of X is
The climate of X is
The national anthem of X is
The flag of X is coloured
X gained its independence from
X joined the union in
The parliament of X meets in the
The mayor of X is
The minister of finance of X is
The army of X is led by
The airport of X is called
The time zone of X is
The calling code of X is
The main export of X is
The main religion in X is
The highest mountain in X is
The longest river in X is
A famous dish from X is
X is made from
The ingredients of X are
X is eaten with
X has the colour
The price of X is
X was made by the company
X runs on the operating system
The owner of X is
The parent company of X is
The chairman of X is
The stock of X is traded in
X was sold to
X employs this many people:
X makes and sells
The software X is written in
X was released in the year
The atomic number of X is
The boiling point of X is
X reacts with
X is used to treat
The symptoms of X are
X is caused by
X is a species of
X lives in the forests of
X feeds on
X orbits the planet
X is a star in
The distance from Earth to X is
X took place in the year
The war of X was won by
X was signed in
The winner of X was
X received an award for
X won a medal in
What is X famous for?
X is often called the
X stands for
The opposite of X is
X is a kind of
The capital city of X is
The biggest city of X is
The money of X is the
The language of X is
The president of X is
The prime minister of X is
X lies on the continent of
X is a city in the country of
The head office of X is in
The chief executive of X is
X was founded by
The author of X is
The symbol of X is
X was discovered by
The reigning champion of X is""".splitlines()
)
