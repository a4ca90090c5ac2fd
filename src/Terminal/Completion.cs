using System.CommandLine;

namespace Marmot.Terminal;

/// <summary><c>completion bash|zsh|fish</c>: a script for the shell that asks the program itself what could stand at the cursor.</summary>
/// <remarks>The question is the parser's own: <c>PROGRAM '[suggest:POSITION]' 'LINE'</c> answers one word a line.</remarks>
internal static class Completion
{
    private const string Bash = """
        # bash completion of PROGRAM: eval "$(PROGRAM completion bash)", in ~/.bashrc for every shell.
        _FUNCTION_complete() {
          local first="${COMP_LINE%% *}" IFS=$'\n'
          local line="PROGRAM${COMP_LINE:${#first}}"
          local point=$((COMP_POINT - ${#first} + PROGRAMLENGTH))
          COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" "[suggest:$point]" "$line" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
        }
        complete -o bashdefault -o default -F _FUNCTION_complete PROGRAM
        """;

    private const string Zsh = """
        #compdef PROGRAM
        # zsh completion of PROGRAM: eval "$(PROGRAM completion zsh)" after compinit, in ~/.zshrc for every shell.
        _FUNCTION_complete() {
          local line="PROGRAM ${(j: :)words[2,CURRENT]}"
          local -a found=(${(f)"$("${words[1]}" "[suggest:${#line}]" "$line" 2>/dev/null)"})
          if (( ${#found} )); then compadd -a found; else _files; fi
        }
        compdef _FUNCTION_complete PROGRAM
        """;

    private const string Fish = """
        # fish completion of PROGRAM: PROGRAM completion fish > ~/.config/fish/completions/PROGRAM.fish
        function __FUNCTION_complete
          set -l words (commandline -opc) (commandline -ct)
          set -l line (string join ' ' -- PROGRAM $words[2..-1])
          $words[1] "[suggest:"(string length -- "$line")"]" "$line" 2>/dev/null
        end
        complete -c PROGRAM -a '(__FUNCTION_complete)'
        """;

    public static Command CreateCommand()
    {
        var command = new Command("completion", "print a script that completes commands and options in a shell");
        foreach (var (shell, script) in ((string, string)[])[("bash", Bash), ("zsh", Zsh), ("fish", Fish)])
        {
            var one = new Command(shell, $"for {shell}; the script's first lines say where it goes");
            one.SetAction(words => words.InvocationConfiguration.Output.WriteLine(For(words.RootCommandResult.Command.Name, script)));
            command.Add(one);
        }

        return command;
    }

    private static string For(string program, string script) => script
        .Replace("PROGRAMLENGTH", $"{program.Length}", StringComparison.Ordinal)
        .Replace("PROGRAM", program, StringComparison.Ordinal)
        .Replace("FUNCTION", program.Replace('-', '_').Replace('.', '_'), StringComparison.Ordinal);
}
