using System.Text.Json;
using Marmot.TestKit;

namespace Marmot.Scenarios.Client;

/// <summary>The built <c>marmot</c> command, one process a step, as a person or a script calls it.</summary>
public sealed class CommandTests(SuiteFixture fixture) : IClassFixture<SuiteFixture>, IDisposable
{
    private readonly TemporaryFolder _folders = new();

    public void Dispose() => _folders.Dispose();

    [Fact]
    public async Task Two_people_meet_talk_and_share_a_file_by_the_command_line()
    {
        string relay = fixture.Suite.RelayUrl.ToString(), blossom = fixture.Suite.HttpUrl.ToString();
        await RunAsync("alice", "init", "--relay", relay, "--blossom", blossom);
        var bob = await RunAsync("bob", "init", "--relay", relay, "--blossom", blossom);
        string group = (await RunAsync("alice", "group", "create", "tea")).GetProperty("groupId").GetString()!;
        await RunAsync("alice", "group", "invite", "tea", bob.GetProperty("npub").GetString()!);
        var joined = await RunAsync("bob", "sync");
        Assert.Equal(group, joined.GetProperty("joined")[0].GetProperty("state").GetProperty("groupId").GetString());
        await RunAsync("bob", "send", "tea", "milk", "or", "lemon?");
        await File.WriteAllTextAsync(_folders.File("note.txt"), "lemon");
        await RunAsync("alice", "sync");
        await RunAsync("alice", "media", "put", "tea", _folders.File("note.txt"), "--type", "text/plain");
        var read = await RunAsync("bob", "sync");
        string message = read.GetProperty("messages")[0].GetProperty("rumor").GetProperty("id").GetString()!;
        await RunAsync("bob", "media", "get", "tea", message, "--out", _folders.File("got.txt"));
        Assert.Equal("lemon", await File.ReadAllTextAsync(_folders.File("got.txt")));
        await RunAsync("alice", "group", "rename", "tea", "tea at four");
        await RunAsync("bob", "sync");
        var members = await RunAsync("bob", "group", "members", "tea at four");
        Assert.Equal(2, members.GetProperty("members").GetArrayLength());
        var messages = await RunAsync("alice", "messages", group[..8]);
        Assert.Contains(messages.EnumerateArray(), one => one.GetProperty("content").GetString() == "milk or lemon?");

        // For a person: plain lines.
        var (exitCode, output) = await StartAsync("bob", "group", "list");
        Assert.Equal(0, exitCode);
        Assert.Contains("tea at four", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Wrong_usage_ends_with_2_and_what_cannot_be_done_with_1()
    {
        Assert.Equal(2, (await StartAsync("x", "dance")).ExitCode);
        Assert.Equal(2, (await StartAsync("x", "init")).ExitCode);
        Assert.Equal(2, (await StartAsync("x", "whoami", "--colour", "red")).ExitCode);
        var (exitCode, output) = await StartAsync("x", "whoami");
        Assert.Equal(1, exitCode);
        Assert.Contains("no account", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_goes_wrong_is_said_with_what_to_do_and_nothing_is_left_half()
    {
        string relay = fixture.Suite.RelayUrl.ToString(), nobody = $"ws://127.0.0.1:{FreePort.Take(1)[0]}";

        // A folder mistyped is not made; a URL mistyped is named.
        Assert.Equal(1, (await StartAsync("typo", "whoami")).ExitCode);
        Assert.False(Directory.Exists(_folders.File("typo")));
        var (exitCode, output) = await StartAsync("dora", "init", "--relay", "relay.example");
        Assert.Equal(2, exitCode);
        Assert.Contains("not relay.example", output, StringComparison.Ordinal);

        // An account whose relay does not answer is there, says so, and is completed by the same command with another relay.
        (exitCode, output) = await StartAsync("dora", "init", "--relay", nobody);
        Assert.Equal(1, exitCode);
        Assert.Contains("run 'marmot init' again", output, StringComparison.Ordinal);
        (exitCode, output) = await StartAsync("dora", "sync");
        Assert.Equal(1, exitCode);
        Assert.Contains("not reached", output, StringComparison.Ordinal);
        var dora = await RunAsync("dora", "init", "--relay", relay);
        Assert.False(dora.GetProperty("isNew").GetBoolean());
        Assert.Contains("nothing new", (await StartAsync("dora", "sync")).Output, StringComparison.Ordinal);

        // An invitation repeated does nothing; an admin learns how to leave.
        await RunAsync("emil", "init", "--relay", relay);
        await RunAsync("emil", "group", "create", "coffee");
        string npub = dora.GetProperty("npub").GetString()!;
        Assert.Equal(2, (await RunAsync("emil", "group", "invite", "coffee", npub)).GetProperty("published").GetArrayLength());
        Assert.Empty((await RunAsync("emil", "group", "invite", "coffee", npub)).GetProperty("published").EnumerateArray());
        (exitCode, output) = await StartAsync("emil", "group", "leave", "coffee");
        Assert.Equal(1, exitCode);
        Assert.Contains("marmot group admin", output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Init_repeated_changes_only_what_is_named()
    {
        string relay = fixture.Suite.RelayUrl.ToString(), blossom = fixture.Suite.HttpUrl.ToString();
        await RunAsync("fay", "init", "--relay", relay, "--blossom", blossom, "--name", "Fay");
        var before = await RunAsync("fay", "whoami");
        await RunAsync("fay", "init", "--name", "Fay again");
        var after = await RunAsync("fay", "whoami");
        Assert.Equal(before.ToString().Replace("\"Fay\"", "\"Fay again\"", StringComparison.Ordinal), after.ToString());
        Assert.Contains(blossom.TrimEnd('/'), after.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Send_with_a_dash_reads_standard_input()
    {
        await RunAsync("gil", "init", "--relay", fixture.Suite.RelayUrl.ToString());
        await RunAsync("gil", "group", "create", "pipes");
        Assert.Equal(0, (await StartAsync("gil", ["send", "pipes", "-"], input: "two\nlines\n")).ExitCode);
        var messages = await RunAsync("gil", "messages", "pipes");
        Assert.Equal("two\nlines", messages[0].GetProperty("content").GetString());
        Assert.Equal(1, (await StartAsync("gil", ["send", "pipes", "-"], input: "")).ExitCode);
    }

    [Fact]
    public async Task Three_requests_piped_to_the_agent_get_three_answers_before_it_ends()
    {
        string relay = fixture.Suite.RelayUrl.ToString();
        string lines = $$"""
            {"id":1,"cmd":"init","relays":["{{relay}}"],"stateDir":"{{_folders.File("piped").Replace("\\", "/", StringComparison.Ordinal)}}"}
            {"id":2,"cmd":"createGroup","name":"piped"}
            {"id":3,"cmd":"listGroups"}

            """;
        var (exitCode, output) = await StartAsync(null, ["agent"], lines);
        Assert.Equal(0, exitCode);
        var answers = output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Where(line => line.StartsWith('{'))
            .Select(line => JsonDocument.Parse(line).RootElement).ToList();
        Assert.Equal([1, 2, 3], answers.Select(answer => answer.GetProperty("id").GetInt32()));
        Assert.All(answers, answer => Assert.True(answer.GetProperty("ok").GetBoolean(), answer.ToString()));
        Assert.Contains("piped", answers[2].ToString(), StringComparison.Ordinal);
    }

    private async Task<JsonElement> RunAsync(string home, params string[] arguments)
    {
        var (exitCode, output) = await StartAsync(home, [.. arguments, "--json"]);
        Assert.True(exitCode == 0, $"marmot {string.Join(' ', arguments)} ended with {exitCode}:\n{output}");
        using var document = JsonDocument.Parse(output);
        return document.RootElement.Clone();
    }

    private Task<(int ExitCode, string Output)> StartAsync(string home, params string[] arguments) => StartAsync(home, arguments, input: null);

    private async Task<(int ExitCode, string Output)> StartAsync(string? home, string[] arguments, string? input)
    {
        string configuration = AppContext.BaseDirectory.Contains($"{Path.DirectorySeparatorChar}Release{Path.DirectorySeparatorChar}", StringComparison.Ordinal)
            ? "Release"
            : "Debug";
        string program = Path.Combine(MarmotServerProcess.RepositoryRoot, "src", "Cli", "bin", configuration, "net10.0", "marmot.dll");
        string[] where = home is null ? [] : ["--home", _folders.File(home)];
        await using var process = ChildProcess.Start("dotnet", [program, .. arguments, .. where], input: input);
        return (await process.WaitForExitAsync(TimeSpan.FromSeconds(60)), process.Output);
    }
}
