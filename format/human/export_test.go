package human

// AppendWord is for the tests that show words to a shell.
var AppendWord = appendWord
