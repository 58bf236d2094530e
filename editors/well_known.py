"""Well-known names by kind, so that whatever an edit is about some resemble its subject closely."""

COUNTRIES = """
    Afghanistan, Albania, Algeria, Andorra, Angola, Antigua and Barbuda, Argentina, Armenia, Australia, Austria,
    Azerbaijan, the Bahamas, Bahrain, Bangladesh, Barbados, Belarus, Belgium, Belize, Benin, Bhutan, Bolivia, Bosnia and
    Herzegovina, Botswana, Brazil, Brunei, Bulgaria, Burkina Faso, Burundi, Cambodia, Cameroon, Canada, Cape Verde, the
    Central African Republic, Chad, Chile, China, Colombia, Comoros, Congo, Costa Rica, Croatia, Cuba, Cyprus, the Czech
    Republic, Denmark, Djibouti, Dominica, the Dominican Republic, East Timor, Ecuador, Egypt, El Salvador, Equatorial
    Guinea, Eritrea, Estonia, Eswatini, Ethiopia, Fiji, Finland, France, Gabon, Gambia, Georgia, Germany, Ghana, Greece,
    Greenland, Grenada, Guatemala, Guinea, Guyana, Haiti, Honduras, Hungary, Iceland, India, Indonesia, Iran, Iraq,
    Ireland, Israel, Italy, Ivory Coast, Jamaica, Japan, Jordan, Kazakhstan, Kenya, Kiribati, Kosovo, Kuwait,
    Kyrgyzstan, Laos, Latvia, Lebanon, Lesotho, Liberia, Libya, Liechtenstein, Lithuania, Luxembourg, Madagascar,
    Malawi, Malaysia, the Maldives, Mali, Malta, Mauritania, Mauritius, Mexico, Micronesia, Moldova, Monaco, Mongolia,
    Montenegro, Morocco, Mozambique, Myanmar, Namibia, Nauru, Nepal, the Netherlands, New Zealand, Nicaragua, Niger,
    Nigeria, North Korea, North Macedonia, Norway, Oman, Pakistan, Palau, Palestine, Panama, Papua New Guinea, Paraguay,
    Peru, the Philippines, Poland, Portugal, Puerto Rico, Qatar, Romania, Russia, Rwanda, Samoa, San Marino, Saudi
    Arabia, Scotland, Senegal, Serbia, Seychelles, Sierra Leone, Singapore, Slovakia, Slovenia, Somalia, South Africa,
    South Korea, South Sudan, Spain, Sri Lanka, Sudan, Suriname, Sweden, Switzerland, Syria, Taiwan, Tajikistan,
    Tanzania, Thailand, Togo, Tonga, Trinidad and Tobago, Tunisia, Turkey, Turkmenistan, Tuvalu, Uganda, Ukraine, the
    United Arab Emirates, the United Kingdom, the United States, Uruguay, Uzbekistan, Vanuatu, Venezuela, Vietnam,
    Wales, Yemen, Zambia, Zimbabwe, England, Hong Kong, Tibet, Czechia
"""
CITIES = """
    London, Chicago, Buenos Aires, Osaka, Lagos, Melbourne, Warsaw, Manchester, Vancouver, New York, Boston, Seattle,
    Toronto, Sydney, Mumbai, Shanghai, Munich, Milan, Barcelona, Lyon, Vienna, Prague, Cairo, Nairobi, Lima, Paris,
    Berlin, Rome, Madrid, Lisbon, Athens, Dublin, Oslo, Stockholm, Helsinki, Copenhagen, Amsterdam, Brussels, Budapest,
    Bucharest, Sofia, Belgrade, Zagreb, Kyiv, Moscow, Saint Petersburg, Istanbul, Ankara, Jerusalem, Tel Aviv, Beirut,
    Damascus, Baghdad, Tehran, Riyadh, Dubai, Karachi, Lahore, Kabul, New Delhi, Kolkata, Chennai, Bangalore, Dhaka,
    Kathmandu, Bangkok, Hanoi, Jakarta, Manila, Kuala Lumpur, Seoul, Tokyo, Kyoto, Sapporo, Nagoya, Beijing, Guangzhou,
    Shenzhen, Wuhan, Taipei, Auckland, Wellington, Brisbane, Perth, Canberra, Los Angeles, San Francisco, Houston,
    Dallas, Miami, Atlanta, Philadelphia, Detroit, Denver, Phoenix, Washington, Montreal, Ottawa, Calgary, Mexico City,
    Guadalajara, Havana, Bogota, Medellin, Caracas, Quito, Santiago, Rio de Janeiro, Brasilia, Montevideo, Casablanca,
    Marrakesh, Algiers, Tunis, Accra, Dakar, Addis Ababa, Kampala, Johannesburg, Cape Town, Durban, Luanda, Harare,
    Hamburg, Frankfurt, Cologne, Stuttgart, Dresden, Zurich, Geneva, Basel, Naples, Venice, Florence, Turin, Seville,
    Valencia, Porto, Marseille, Bordeaux, Nice, Lille, Antwerp, Rotterdam, Krakow, Gdansk, Edinburgh, Glasgow,
    Liverpool, Birmingham, Leeds, Oxford, Cambridge, Cardiff, Belfast, Bergen, Gothenburg, Riga, Vilnius, Tallinn,
    Minsk, Tbilisi, Baku, Yerevan, Tashkent, Almaty, Busan, Hiroshima, Yokohama
"""
PEOPLE = """
    Isaac Newton, Jane Austen, Winston Churchill, Marie Curie, Michael Jordan, Ernest Hemingway, Frida Kahlo, Niels
    Bohr, John Smith, Toni Morrison, Maria Garcia, Albert Einstein, Charles Darwin, William Shakespeare, Leo Tolstoy,
    Pablo Picasso, Beethoven, Abraham Lincoln, Nelson Mandela, Angela Merkel, Steve Jobs, Mark Twain, Charles Dickens,
    Victor Hugo, Franz Kafka, Virginia Woolf, George Orwell, Agatha Christie, Stephen King, J. K. Rowling, Homer, Dante,
    Goethe, Voltaire, Plato, Aristotle, Socrates, Confucius, Karl Marx, Sigmund Freud, Friedrich Nietzsche, Immanuel
    Kant, Galileo, Johannes Kepler, Nikola Tesla, Thomas Edison, Michael Faraday, James Clerk Maxwell, Max Planck,
    Werner Heisenberg, Richard Feynman, Stephen Hawking, Alan Turing, Ada Lovelace, Louis Pasteur, Alexander Fleming,
    Gregor Mendel, Ernest Rutherford, Linus Pauling, Leonardo da Vinci, Michelangelo, Rembrandt, Vincent van Gogh,
    Claude Monet, Salvador Dali, Andy Warhol, Mozart, Johann Sebastian Bach, Chopin, Elvis Presley, John Lennon, Bob
    Dylan, Michael Jackson, Madonna, Beyonce, Taylor Swift, Tom Hanks, Meryl Streep, Leonardo DiCaprio, Alfred
    Hitchcock, Steven Spielberg, Charlie Chaplin, Marilyn Monroe, Bruce Lee, Muhammad Ali, Pele, Lionel Messi, Cristiano
    Ronaldo, Roger Federer, Serena Williams, Usain Bolt, LeBron James, Babe Ruth, Julius Caesar, Cleopatra, Alexander
    the Great, Napoleon, Queen Victoria, Genghis Khan, George Washington, Thomas Jefferson, Theodore Roosevelt, John F.
    Kennedy, Ronald Reagan, Barack Obama, Margaret Thatcher, Charles de Gaulle, Joseph Stalin, Mahatma Gandhi, Mother
    Teresa, Martin Luther King, Che Guevara, Fidel Castro, Bill Gates, Elon Musk, Henry Ford, Walt Disney, Coco Chanel,
    Florence Nightingale, Neil Armstrong, Christopher Columbus, Marco Polo, Ferdinand Magellan
"""
ELEMENTS = """
    Hydrogen, Helium, Lithium, Beryllium, Boron, Carbon, Nitrogen, Oxygen, Fluorine, Neon, Sodium, Magnesium, Aluminum,
    Silicon, Phosphorus, Sulfur, Chlorine, Argon, Potassium, Calcium, Scandium, Titanium, Vanadium, Chromium, Manganese,
    Iron, Cobalt, Nickel, Copper, Zinc, Gallium, Germanium, Arsenic, Selenium, Bromine, Krypton, Rubidium, Strontium,
    Yttrium, Zirconium, Niobium, Molybdenum, Ruthenium, Rhodium, Palladium, Silver, Cadmium, Indium, Tin, Antimony,
    Tellurium, Iodine, Xenon, Cesium, Barium, Tungsten, Rhenium, Osmium, Iridium, Platinum, Gold, Mercury, Thallium,
    Lead, Bismuth, Polonium, Radon, Radium, Thorium, Uranium, Plutonium
"""
ORGANISATIONS = """
    Sony, General Motors, Toyota, Nokia, Boeing, Apple, Microsoft, Google, Samsung, Ford, Volkswagen, IBM, Disney,
    Amazon, Facebook, Intel, Nintendo, Honda, Nissan, BMW, Mercedes-Benz, Ferrari, Airbus, Siemens, Philips, Nestle,
    Coca-Cola, Pepsi, McDonald's, Starbucks, Nike, Adidas, Walmart, IKEA, Netflix, Tesla, Harvard University, Stanford
    University, Yale University, the University of Oxford, the Red Cross, the United Nations, NASA, the World Bank, the
    European Union, NATO, the BBC, CNN, the New York Times, Real Madrid, Manchester United, Bayern Munich, the Chicago
    Bulls, the Beatles, the Rolling Stones, Pink Floyd
"""
WORKS = """
    Romeo and Juliet, Star Wars, The Great Gatsby, War and Peace, Don Quixote, Hotel California, Hamlet, Moby-Dick,
    Harry Potter, Macbeth, Pride and Prejudice, Jane Eyre, Wuthering Heights, Great Expectations, Oliver Twist, The
    Odyssey, The Iliad, The Divine Comedy, Faust, Les Miserables, Crime and Punishment, Anna Karenina, The
    Metamorphosis, Ulysses, The Catcher in the Rye, To Kill a Mockingbird, Lord of the Flies, Animal Farm, Brave New
    World, The Hobbit, The Lord of the Rings, Frankenstein, Dracula, Alice in Wonderland, Gulliver's Travels, Robinson
    Crusoe, The Old Man and the Sea, The Little Prince, The Da Vinci Code, the Mona Lisa, The Starry Night, Titanic,
    Jaws, The Godfather, Psycho, The Matrix, Jurassic Park, Friends, The Simpsons, Game of Thrones, Swan Lake, The Magic
    Flute, Carmen
"""
PLACES = """
    Mount Fuji, the Amazon River, the Eiffel Tower, the Colosseum, Mount Everest, the Nile, Big Ben, the Great Wall, the
    Taj Mahal, the Statue of Liberty, the Louvre, the Kremlin, the Parthenon, Machu Picchu, Stonehenge, the Sahara, the
    Alps, the Himalayas, the Andes, Kilimanjaro, the Danube, the Rhine, the Mississippi River, the Thames, the Grand
    Canyon, Niagara Falls, the Pacific Ocean, the Mediterranean Sea, California, Texas, Florida, Alaska, Hawaii, Ohio,
    Bavaria, Sicily, Tuscany, Catalonia, Quebec, Ontario, Africa, Europe, Asia, Antarctica, Mars, Jupiter, Saturn, the
    Moon, the Sun
"""
THINGS = """
    football, the Roman Empire, the piano, Buddhism, pizza, sushi, curry, tacos, chess, the violin, English, Spanish,
    Arabic, Windows, the iPhone, Batman, Orion, tennis, basketball, cricket, golf, the guitar, the flute, the drums,
    French, German, Chinese, Japanese, Russian, Latin, Christianity, Islam, Hinduism, Judaism, Python, Java, Linux,
    Superman, Spider-Man, Zeus, Thor, Apollo, Venus, the lion, the elephant, the whale, the eagle, the dog, the horse,
    the rose, the oak, bread, cheese, chocolate, coffee, tea, wine, beer, the banana, the tomato, paella, kimchi, World
    War II, the French Revolution, the Cold War, democracy, physics, chemistry, mathematics, photosynthesis, gravity,
    DNA, penicillin, the telephone, the steam engine, the euro, the dollar
"""

WELL_KNOWN = tuple(
    " ".join(name.split())
    for kind in (COUNTRIES, CITIES, PEOPLE, ELEMENTS, ORGANISATIONS, WORKS, PLACES, THINGS)
    for name in kind.split(",")
)
"""All of them, each once."""
