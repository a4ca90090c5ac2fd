using Marmot.Protocol.Events;
using Marmot.Protocol.Keys;
using Marmot.Relay.Tests.Kit;
using Marmot.TestKit;

namespace Marmot.Relay.Tests.Ingest;

/// <summary>A shell script in the place of an operator's plugin.</summary>
public sealed class WritePolicyProgramTests
{
    private const long Now = 1_700_000_500;

    // Decides by the content; "wait" and "die" are its faults. It writes every question to a file.
    private const string Script = """
        #!/bin/sh
        while read -r line; do
          printf '%s\n' "$line" >> "$0.asked"
          id=$(printf '%s' "$line" | sed 's/.*"event":{"id":"\([0-9a-f]*\)".*/\1/')
          case "$line" in
            *good*) echo "{\"id\":\"$id\",\"action\":\"accept\",\"msg\":\"\"}" ;;
            *hidden*) echo "{\"id\":\"$id\",\"action\":\"shadowReject\"}" ;;
            *plain*) echo "{\"id\":\"$id\",\"action\":\"reject\",\"msg\":\"go away\"}" ;;
            *die*) exit 1 ;;
            *) echo "{\"id\":\"$id\",\"action\":\"reject\",\"msg\":\"restricted: members only\"}" ;;
          esac
        done
        """;

    private static string WriteScript(TemporaryFolder folder, string text)
    {
        var path = folder.File("policy.sh");
        File.WriteAllText(path, text.ReplaceLineEndings("\n"));
        if (!OperatingSystem.IsWindows())
        {
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        }

        return path;
    }

    [Fact]
    [Trait("Clock", "Date")]
    public async Task Accepts_rejects_and_shadow_rejects_as_the_program_says()
    {
        using var folder = new TemporaryFolder();
        var path = WriteScript(folder, Script);
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WritePolicyProgram=" + path);
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        var good = NostrEvent.Create(key, 1, [], "good", Now);
        Assert.Equal((true, ""), await client.PublishAsync(good));
        Assert.Equal((true, ""), await client.PublishAsync(NostrEvent.Create(key, 1, [], "hidden", Now)));
        Assert.Equal((false, "restricted: members only"), await client.PublishAsync(NostrEvent.Create(key, 1, [], "other", Now)));
        Assert.Equal((false, "blocked: go away"), await client.PublishAsync(NostrEvent.Create(key, 1, [], "plain", Now)));
        Assert.Equal([good.Id.ToString()], await client.QueryAsync("{}"));

        // The question is strfry's, without the address unless it is wanted.
        var asked = System.Text.Json.JsonDocument.Parse((await File.ReadAllLinesAsync(path + ".asked"))[0]).RootElement;
        Assert.Equal("new", asked.GetProperty("type").GetString());
        Assert.Equal(good.Id.ToString(), asked.GetProperty("event").GetProperty("id").GetString());
        Assert.Equal(Now, asked.GetProperty("receivedAt").GetInt64());
        Assert.Equal("IP4", asked.GetProperty("sourceType").GetString());
        Assert.Equal("", asked.GetProperty("sourceInfo").GetString());
    }

    [Fact]
    public async Task A_program_that_ends_refuses_events_with_error_and_is_started_again_when_it_is_mended()
    {
        using var folder = new TemporaryFolder();
        var path = WriteScript(folder, Script);
        await using var relay = await RelayHost.StartAsync(Now, null, "--Relay:WritePolicyProgram=" + path, "--Relay:WritePolicyAddresses=true");
        await using var client = await relay.ConnectAsync();
        using var key = SecretKey.Generate();
        Assert.StartsWith("error: ", (await client.PublishAsync(NostrEvent.Create(key, 1, [], "die", Now))).Text, StringComparison.Ordinal);
        var answer = (Accepted: false, Text: "");
        for (var i = 0; !answer.Accepted; i++)
        {
            Assert.True(i < 100_000, answer.Text);
            answer = await client.PublishAsync(NostrEvent.Create(key, 1, [], $"good {i}", Now));
        }

        var asked = System.Text.Json.JsonDocument.Parse((await File.ReadAllLinesAsync(path + ".asked"))[^1]).RootElement;
        Assert.Equal("127.0.0.1", asked.GetProperty("sourceInfo").GetString());
    }
}
