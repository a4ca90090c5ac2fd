using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class KeysTests : IDisposable
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData("data/notify.key")]
    [InlineData("keys/mine.key", "--out", "keys/mine.key")]
    public async Task A_new_key_is_private_shown_only_on_request_and_never_overwritten(string file, params string[] arguments)
    {
        var (made, publicKey) = await RunAsync(["keys", "new", .. arguments]);
        Assert.Equal(0, made);
        string path = _folder.File(file);
        string secret = (await File.ReadAllTextAsync(path)).Trim();
#pragma warning disable CA1416 // the tests run on Linux (./test)
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(path));
#pragma warning restore CA1416
        Assert.DoesNotContain(secret, publicKey, StringComparison.Ordinal);

        Assert.Equal(1, (await RunAsync(["keys", "new", .. arguments])).ExitCode);
        Assert.Equal(secret, (await File.ReadAllTextAsync(path)).Trim());

        Assert.Equal((0, publicKey), await RunAsync(["keys", "show", file]));
        Assert.Equal((0, secret), await RunAsync(["keys", "show", file, "--secret"]));
    }

    [Fact]
    public async Task Without_a_file_the_default_one_is_shown_and_a_missing_one_is_said()
    {
        Assert.Equal(1, (await RunAsync(["keys", "show"])).ExitCode);
        var (_, publicKey) = await RunAsync(["keys", "new"]);
        Assert.Equal((0, publicKey), await RunAsync(["keys", "show"]));
    }

    private async Task<(int ExitCode, string Output)> RunAsync(string[] arguments)
    {
        await using var process = ChildProcess.Start("dotnet", [typeof(AllInOne.CommandLine).Assembly.Location, .. arguments], _folder.Path);
        int exitCode = await process.WaitForExitAsync(Timeout);
        return (exitCode, process.Output.Trim());
    }
}
