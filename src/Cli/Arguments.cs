namespace Marmot.Cli;

/// <summary>Wrong usage: exit code 2.</summary>
internal sealed class UsageException(string message) : Exception(message);

/// <summary>The words of a command line: options by name, the rest by place.</summary>
internal sealed class Arguments
{
    private static readonly string[] Flags = ["--json", "--follow", "--legacy", "--once", "--help"];

    private readonly Dictionary<string, List<string>> _options = new(StringComparer.Ordinal);
    private readonly List<string> _words = [];
    private int _next;

    public Arguments(IReadOnlyList<string> args)
    {
        for (int i = 0; i < args.Count; i++)
        {
            if (args[i] == "--")
            {
                _words.AddRange(args.Skip(i + 1));
                return;
            }

            if (!args[i].StartsWith("--", StringComparison.Ordinal))
            {
                _words.Add(args[i]);
                continue;
            }

            int equals = args[i].IndexOf('=', StringComparison.Ordinal);
            string name = equals < 0 ? args[i] : args[i][..equals];
            string value = equals >= 0 ? args[i][(equals + 1)..]
                : Flags.Contains(name) ? "true"
                : i + 1 < args.Count ? args[++i]
                : throw new UsageException($"{name} needs a value");
            (_options.TryGetValue(name, out var values) ? values : _options[name] = []).Add(value);
        }
    }

    /// <summary>Words that no command has taken yet.</summary>
    public int WordsLeft => _words.Count - _next;

    public bool Flag(string name) => _options.Remove(name);

    public string? Option(string name) => _options.Remove(name, out var values) ? values[^1] : null;

    public IReadOnlyList<string> Options(string name) => _options.Remove(name, out var values) ? values : [];

    public string Word(string what) => _next < _words.Count ? _words[_next++] : throw new UsageException($"{what} is missing");

    public string? OptionalWord() => _next < _words.Count ? _words[_next++] : null;

    public IReadOnlyList<string> Words(string what)
    {
        var rest = _words[_next..];
        _next = _words.Count;
        return rest.Count > 0 ? rest : throw new UsageException($"{what} is missing");
    }

    /// <summary>Refuses what was not taken.</summary>
    public void End()
    {
        if (_options.Count > 0)
        {
            throw new UsageException($"unknown option {_options.Keys.First()}");
        }

        if (_next < _words.Count)
        {
            throw new UsageException($"unexpected '{_words[_next]}'");
        }
    }
}
