using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class HelpTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);

    [Theory]
    [InlineData("relay, blossom and push server", "--help")]
    [InlineData("marmot-server all [options]", "all", "--help")]
    [InlineData("marmot-server config check [options]", "config", "check", "--help")]
    [InlineData("marmot-server healthcheck [options]", "healthcheck", "--help")]
    [InlineData("marmot-server relay [command] [options]\n", "relay", "--help")]
    [InlineData("marmot-server relay export [<FILE>] [options]", "relay", "export", "-h")]
    [InlineData("marmot-server relay export [<FILE>] [options]", "help", "relay", "export")]
    [InlineData("verify", "blossom", "--help")]
    [InlineData("marmot-server notify [command] [options]\n", "notify", "--help")]
    [InlineData("marmot-server notify test [options]", "notify", "test", "--help")]
    [InlineData("marmot-server keys show [<FILE>] [options]", "keys", "show", "--help")]
    [InlineData("apns", "sim", "--help")]
    [InlineData("--blossom <URL>", "doctor", "--help")]
    [InlineData("ban <key|event|blob> <TARGET>", "moderation", "--help")]
    [InlineData("once, for ten minutes", "console", "login", "--help")]
    [InlineData("<transponder|strfry>", "import-config", "--help")]
    public async Task Help_is_given_wherever_it_is_asked_for_and_nothing_is_started(string says, params string[] arguments)
    {
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, .. arguments]);
        Assert.Equal(0, await process.WaitForExitAsync(Timeout));
        Assert.Contains(says, process.Output, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Help_on_a_command_that_there_is_not_is_wrong_usage()
    {
        await using var process = ChildProcess.Start("dotnet", [SettingsTests.Program, "bogus", "--help"]);
        Assert.Equal(2, await process.WaitForExitAsync(Timeout));
    }
}
