using Marmot.TestKit;

namespace Marmot.Scenarios;

/// <summary>The completion scripts in the shells they are for.</summary>
public sealed class CompletionTests : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public CompletionTests()
    {
        // A command on the path, as it is installed.
        string command = _folder.File("marmot-server");
        File.WriteAllText(command, $"#!/bin/sh\nexec dotnet '{SettingsTests.Program}' \"$@\"\n");
#pragma warning disable CA1416 // the tests run on Linux (./test)
        File.SetUnixFileMode(command, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
#pragma warning restore CA1416
    }

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("marmot-server re", "relay")]
    [InlineData("marmot-server relay exp", "export")]
    [InlineData("./marmot-server relay sync ws://x --di", "--dir")]
    public async Task Bash_completes_commands_and_options(string line, string expected)
    {
        string first = line.Split(' ')[0], last = line.Split(' ')[^1];
        await FindsAsync(
            expected,
            "bash",
            $"""
            eval "$(marmot-server completion bash)"
            COMP_LINE='{line}'; COMP_POINT={line.Length}; COMP_WORDS=({first} '{last}'); COMP_CWORD=1
            _marmot_server_complete
            printf '%s\n' "$COMPREPLY"
            complete -p marmot-server >/dev/null || echo "not registered"
            """);
    }

    [Theory]
    [InlineData("marmot-server re", "relay")]
    [InlineData("marmot-server relay exp", "export")]
    [InlineData("./marmot-server relay sync ws://x --di", "--dir")]
    public Task Zsh_completes_commands_and_options(string line, string expected) => FindsAsync(
        expected,
        "zsh",
        $$"""
        autoload -U compinit && compinit -u -d {{_folder.File("dump")}}
        eval "$(marmot-server completion zsh)"
        compadd() { print -l -- ${(P)2}; }
        words=({{line}}); CURRENT=${#words}
        _marmot_server_complete
        [ "${_comps[marmot-server]}" = _marmot_server_complete ] || echo "not registered"
        """);

    [Theory]
    [InlineData("marmot-server re", "relay")]
    [InlineData("marmot-server relay exp", "export")]
    [InlineData("marmot-server relay sync ws://x --di", "--dir")]
    public Task Fish_completes_commands_and_options(string line, string expected) =>
        FindsAsync(expected, "fish", $"marmot-server completion fish | source\ncomplete -C '{line}'");

    private async Task FindsAsync(string expected, string shell, string script)
    {
        string file = _folder.File("script");
        await File.WriteAllTextAsync(file, $"{script}\n");
        await using var process = ChildProcess.Start("env",
            [$"PATH={_folder.Path}:{Environment.GetEnvironmentVariable("PATH")}", $"HOME={_folder.Path}", shell, file], _folder.Path);
        Assert.Equal(0, await process.WaitForExitAsync(Timeout));
        Assert.Equal([expected], process.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(word => word.Trim()));
    }
}
