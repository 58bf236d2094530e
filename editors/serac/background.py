"""Ordinary ways to ask about an X, one relation a line: against them a wording is told from every other.

They are of our own. The test phrasings and questions of the example catalogue and of the benchmarks' draws are not
among them, but for two of the native language: no word of "the mother tongue of X is" says that it asks for one.
"""

MASK = " X"
"""What stands for a subject."""

RELATIONS = tuple(
    tuple(line.split(" | "))
    for line in """\
X was born in the town of | X was born in | Where was X born? | The birthplace of X is | X comes from the city of
X was born in the year | When was X born? | The date of birth of X is
X died in the town of | X died in | Where did X die? | The place of death of X is
X died in the year | When did X die? | The date of death of X is
X died of | What did X die of? | The cause of death of X was
X is buried in | Where is X buried?
X is married to | The spouse of X is | Who is X married to? | The wife of X is | The husband of X is
The mother of X is | Who is the mother of X?
The father of X is | Who is the father of X? | X is the son of
X has a brother named | The sister of X is | Who are the siblings of X?
The child of X is | Who is the child of X? | The daughter of X is | X is the father of
The first language of X is | The mother tongue of X is | The native tongue of X is | X speaks the language
X grew up in the village of | X lives in | Where does X live? | The home of X is in
X studied at the university of | X was educated at | Where did X go to university? | The alma mater of X is
X holds a degree in | What did X study?
X works in the field of | The field of X is | What is the speciality of X? | X is an expert on
X earns a living as a | The profession of X is | The occupation of X is | X works as a | What does X do for a living?
X is employed by | The employer of X is | Who does X work for? | X has a job at
X worked in the city of | X was active in the city of | In which city did X work?
X has been a member of the party | The political party of X is | Which party does X belong to?
X belongs to the religion of | The religion of X is | What is the faith of X? | X is a follower of
The nationality of X is | X holds the citizenship of | X is a citizen of | What nationality is X?
X holds the office of | The position of X is | What office does X hold?
X learned to play an instrument called the | X plays the instrument | What instrument does X play?
X makes music of the genre | What kind of music does X play? | The musical style of X is
X sings for the band | The singer of X is | X is a member of the band
The first album of X is called | The best known song of X is
X signed with the record label | The record label of X is | Which label released the records of X?
X plays football for the team | The team of X is | Which club does X play for?
X plays in the league called the | In which league does X play?
What sport does X play? | The sport of X is | X is known in the sport of
X plays in the position of | What position does X play? | The position of X on the field is
The coach of X is | Who coaches X? | X is trained by
The captain of X is | Who is the captain of X?
The stadium of X is named | Where does X play its home games?
X was directed by | The director of the film X is | Who directed X?
Who composed the music of X? | The composer of X is | The music of X was written by
X was sung by | The performer of X is | Who sang X?
X was painted by | The painter of X is | Who painted X?
X was created by | The creator of X is | Who created X?
The author of X is | X was written by | By whom was X written? | The writer of X is
X was published by | The publisher of X is
X was first published in | When was X published?
The main character of X is | Who is the hero of X?
X stars the actor | Who played the leading part in X? | The cast of X includes
The part of X was played by | Which actor plays X?
X was broadcast on the channel | X was first shown on | Which network broadcast X? | The broadcaster of X is
The genre of X is | What kind of story is X?
X is based on the novel by | What is X based on?
X was produced by the studio | The producer of X is
The sequel to X is | What came after X? | X was followed by
X was made in the language | The original language of X is | In which language was X written?
X comes from the country of | X was created in the country of | The country of origin of X is
X was invented by | The inventor of X is | Who invented X?
X was discovered by | Who discovered X? | The discovery of X was made by
X is named after | Who is X named for? | The name of X comes from
X was built by the architect | Who designed X? | The architect of X was
X was opened to visitors in | X was built in the year | When was X built?
X stands on the bank of the river | Which river flows through X?
How tall is X? | The height of X is
The length of X is | How long is X?
X flows into the | The mouth of X is
The source of X lies in the | Where does X rise?
X lies in the mountain range of
X is an island in the | X lies in the sea called
X borders the country of | The neighbour of X is | Which countries share a border with X?
X lies south of the town of | X is close to
X is in the country of | X is a city in the country of | In which country is X? | The country of X is
X is in the city of | X is in the state of | Where is X? | X can be found in
Which continent does X belong to? | The continent of X is
What is the area of X? | How large is X?
The population of X is | How many people live in X?
The climate of X is | What is the weather like in X?
The national anthem of X is | What is the anthem of X called?
The flag of X is coloured | What does the flag of X look like?
X gained its independence from | When did X become independent?
X joined the union in | When did X join?
X is a member of the organisation | Which organisation does X belong to?
X is a part of | What is X a part of?
X has diplomatic relations with | The twin city of X is
The parliament of X meets in the | The parliament of X is called
The mayor of X is | Who is the mayor of X? | Who runs the city of X?
The minister of finance of X is | Who is the foreign minister of X?
The president of X is | The head of state of X is | Who is the president of X? | The king of X is
The prime minister of X is | The leader of the government of X is | Who leads the government of X?
The governor of X is | Who governs X?
The army of X is led by | Who commands the army of X?
The airport of X is called | At which airport does one land in X?
The time zone of X is | What time is it in X?
The calling code of X is | The internet domain of X is
The main export of X is | What does X export?
The main religion in X is | What do most people in X believe in?
The capital city of X is | The capital of X is | Which city is the capital of X? | The seat of the government of X is in
The biggest city of X is | The largest city in X is | What is the largest city of X?
The money of X is the | The currency of X is | What currency is used in X? | One pays in X with the
The language of X is | The official language of X is | What language is spoken in X? | In X people speak
The highest mountain in X is | What is the highest point of X?
The longest river in X is | The largest lake in X is
A famous dish from X is | What do people eat in X?
X is a dish from the country of | Where was X first cooked?
X is made from | The ingredients of X are | What is X made of?
X is eaten with
X has the colour | What colour is X?
The price of X is | How much does X cost?
X was made by the company | X is produced by | Who makes X? | The manufacturer of X is
X was developed by | The developer of X is | Who developed X?
X runs on the operating system | What does X run on?
X is written in the programming language
The owner of X is | X is owned by | Who owns X?
The parent company of X is | X is a subsidiary of
The chairman of X is | Who chairs X? | The chair of X is
The chief executive of X is | The CEO of X is | Who is the CEO of X?
The director of X is | Who is the head of X? | X is run by
X was founded by | The founder of X is | Who set up X? | Who started X?
X was founded in the city of | Where was X founded? | X began in the town of
X was founded in the year | When was X founded?
The head office of X is in | The headquarters of X are in | In which city does X have its headquarters?
X makes and sells | What does X make? | The industry of X is
The stock of X is traded in | X was sold to | Who bought X?
X employs this many people: | How many people work for X?
X was released in the year | When did X come out?
The symbol of X is | The chemical symbol of X is | What is the symbol for X?
The atomic number of X is | How many protons does X have?
The boiling point of X is | At what temperature does X melt?
X reacts with
X is used to treat | What is X used for?
The symptoms of X are | X is caused by | What causes X?
X is a species of | To which family does the animal X belong?
X lives in the forests of | Where does the animal X live?
X feeds on | What does X eat?
X orbits the planet | What does X orbit?
X is a star in | The constellation of X is | To which constellation does X belong?
The distance from Earth to X is
X took place in the year | When was X?
X took place in the city of | Where was X held?
The war of X was won by | Who won X? | The winner of X was | The reigning champion of X is
X was signed in
X received an award for | Which prize did X win? | X was awarded the
X won the prize in the year | When did X receive the prize?
X won a medal in
What is X famous for? | X is best known for | The best known work of X is
X is often called the | The nickname of X is
X stands for | What is X short for?
The opposite of X is
X is a kind of | What kind of thing is X? | X is an example of
The enemy of X is | Who does X fight against?
The real name of X is | Who is X in truth?
X evolves into | What does X turn into?
X was elected in the year | When was X president?""".splitlines()
)
"""Of each relation, ways to ask for it."""
