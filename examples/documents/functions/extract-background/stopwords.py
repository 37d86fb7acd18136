"""The most common words of seven languages: they tell a language, and are no terms. Written for this example."""

LISTS = {
    "de": """
        ab aber alle allem allen aller alles als also am an andere anderen auch auf aus bei beim bereits bis
        bitte da dabei dafür damit danach dann daran darauf darf das dass dazu dem den denn der des deren
        dessen die dies diese diesem diesen dieser dieses doch dort du durch ein eine einem einen einer eines
        einmal er es etwa etwas euch euer für gegen gibt hat hatte hatten habe haben hier ich ihm ihn ihnen ihr
        ihre ihrem ihren ihrer im immer in ins ist ja jede jedem jeden jeder jedes jedoch jetzt kann kein keine
        keinen keiner können könnte machen man mehr mein meine meinem meinen meiner mich mir mit muss müssen
        nach nicht nichts noch nun nur ob oder ohne sehr sei sein seine seinem seinen seiner seit selbst sich
        sie sind so sobald sodass soll sollen sollte sondern sonst sowie über um und uns unser unsere unserem
        unseren unserer unter viel viele vom von vor war waren was weil weiter wenn wer werde werden wie wieder
        will wir wird wo wurde wurden während zu zum zur zwar zwei zwischen
    """,
    "en": """
        a about after again all already also although always am an and another any are aren as at be became
        because been before being below between both but by can cannot could couldn did didn do does doesn
        doing don down during each either else ever every few first for from further had has have having he her
        here hers him his how however i if in into is isn it its itself just last least less like ll made many
        may me might more most much must my never no nor not nothing now of off often on once one only onto or
        other our ours out over own per please rather re same shall she should since so some still such than
        that the their them then there these they this those though through to too two under unless until up
        upon us ve very was we were what when where whether which while who whom whose why will with within
        without would yet you your yours
    """,
    "es": """
        a acá ahora al algo algunas algunos allí ambos ante antes aquí así aunque bajo bien cada casi como con
        contra cual cuando cuanto da de debe del desde después donde dos durante e el él ella ellas ellos en
        entre era eran eres es esa esas ese eso esos esta está están estaba estas este esto estos fue fueron
        gran ha habrá había hace hacer hacia han hasta hay he hemos hoy la las le les lo los luego más me menos
        mi mientras mis misma mismo mucha mucho muchos muy nada ni no nos nosotros nuestra nuestras nuestro
        nuestros o os otra otras otro otros para pero poco por porque primera primero puede pueden pues que qué
        quien se sea según ser será si sí sido siempre sin sino sobre solo son su sus también tan tanto te
        tiene tienen toda todas todavía todo todos tras tres tu tus un una unas uno unos usted ustedes va vez y
        ya yo
    """,
    "fr": """
        a à ai ainsi alors après assez au aucun aucune aujourd aussi autre autres aux avait avant avec avez
        avoir avons bien car ce cela celle celles celui cependant ces cet cette ceux chaque chez comme comment
        d dans de depuis des deux dès doit doivent donc dont du elle elles en encore enfin ensuite entre es est
        et étaient était été être eu fait faire faut fois font hui il ils j jamais je jusqu l la là le les leur
        leurs lors lorsque lui m ma mais me mes même mêmes moins mon n ne ni non nos notre nous on ont ou où
        par parce pas pendant peu peut peuvent plus plusieurs pour pourquoi près puis qu quand que quel quelle
        quelques qui quoi s sa sans se sera ses si soit son sont sous sur t ta te tes toujours tous tout toute
        toutes très trop un une vers voici vos votre vous y
    """,
    "it": """
        a abbiamo ad agli ai al alla alle allo allora altra altre altri altro anche ancora avere aveva bene c
        che chi ci ciò come con contro così cui d da dagli dai dal dalla dalle dallo degli dei del dell della
        delle dello di dopo dove due durante e è ed era erano essere fa fare fatto fino fra già gli ha hanno ho
        i il in infine io l la le lei li lo loro lui ma mai me meno mentre mi mia mie miei mio molta molte
        molti molto ne né negli nei nel nell nella nelle nello nessun nessuna niente no noi non nostra nostre
        nostri nostro o ogni oggi oppure per perché però più po poi prima proprio può qua quale quali quando
        quanto quasi quella quelle quelli quello questa queste questi questo qui quindi sarà se sei sempre
        senza si sia siamo solo sono sopra sotto sta stata stato stati su sua sue sugli sui sul sulla sulle suo
        suoi tanto tra troppo tu tutta tutte tutti tutto un una uno vi voi vostra vostro
    """,
    "nl": """
        aan achter al alle alleen alles als altijd andere beide ben bij binnen boven buiten daar daarna daarom
        dan dat de deze die dit doch doen door dus een eens eerst eerste elk elke en enkele er ergens even gaan
        geen geweest haar had hadden heb hebben heeft hem het hier hij hoe hun iemand iets ik in is ja je jouw
        jullie kan komen kon kunnen maar me meer men met mij mijn moet moeten mogen mocht na naar net niet
        niets nog nooit nu of om omdat onder ons onze ook op over per pas reeds samen sinds soms te tegen ten
        ter terwijl toch toen tot tussen twee u uit uw van vanaf veel via voor waar waarin waarom was wat we weer
        wel welke werd werden wie wij wil worden wordt zal ze zeer zei zelf zich zij zijn zo zoals zonder zou
        zouden zullen
    """,
    "pt": """
        a à acima agora ainda além algum alguma alguns algumas ali ao aos apenas após aquela aquele aqui as
        às assim até bem cada com como contra da dar das de dela dele deles depois desde dessa desse desta
        deste deve do dois dos duas durante e é ela elas ele eles em então entre era eram essa essas esse esses
        esta está estão estas este estes eu fazer foi foram há isso isto já lhe lhes mais mas me menos
        mesma mesmo meu meus minha muita muitas muito muitos na não nas nem nenhum nenhuma nessa nesse nesta
        neste no nos nós nossa nossas nosso nossos num numa o onde os ou outra outras outro outros para pela
        pelas pelo pelos pode podem por porque pouco qual qualquer quando quanto quase que quem se seja sem
        sempre ser será seu seus sido só sob sobre sua suas também tão te tem têm teve toda todas todo todos
        três tu tudo um uma umas uns vez você vocês
    """,
}
STOP_WORDS = {language: frozenset(words.split()) for language, words in LISTS.items()}
