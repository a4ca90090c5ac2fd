using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class HelpTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("marmot-server COMMAND", "--help")]
    [InlineData("marmot-server COMMAND", "all", "--help")]
    [InlineData("marmot-server COMMAND", "config", "check", "--help")]
    [InlineData("marmot-server COMMAND", "healthcheck", "--help")]
    [InlineData("compact", "relay", "--help")]
    [InlineData("compact", "relay", "export", "-h")]
    [InlineData("verify", "blossom", "--help")]
    [InlineData("notify doctor", "notify", "--help")]
    [InlineData("notify test", "notify", "test", "--help")]
    [InlineData("keys show", "keys", "show", "--help")]
    [InlineData("ban key", "moderation", "--help")]
    [InlineData("once, for ten minutes", "console", "login", "--help")]
    [InlineData("transponder|strfry", "import-config", "--help")]
    [InlineData("apns|fcm", "sim", "--help")]
    [InlineData("--blossom URL", "doctor", "--help")]
    public async Task Help_is_given_wherever_it_is_asked_for_and_nothing_is_started(string says, params string[] arguments)
    {
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, .. arguments]);
        Assert.Equal(0, await process.WaitForExitAsync(Timeout));
        Assert.Contains(says, process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Help_on_a_command_that_there_is_not_is_wrong_usage()
    {
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, "bogus", "--help"]);
        Assert.Equal(2, await process.WaitForExitAsync(Timeout));
    }
}
