using System.Reflection;
using Marmot.TestKit;

namespace Marmot.Scenarios;

public sealed class SettingsTests
{
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(60);
    internal static readonly string Program = typeof(AllInOne.CommandLine).Assembly.Location;

    [Fact]
    public async Task All_mistakes_are_named_at_once_with_the_nearest_right_name_and_the_exit_code_is_one()
    {
        await using var process = Run("config", "check", "--Relay:Kindz=All", "--Public:Url=x", "--Relay:MaxFilters=0");
        Assert.Equal(1, await process.WaitForExitAsync(Timeout));
        Assert.Contains("Relay:Kindz: no such setting. Did you mean Relay:Kinds?", process.Output, StringComparison.Ordinal);
        Assert.Contains("Public:Url: no such setting. Did you mean Public:Urls?", process.Output, StringComparison.Ordinal);
        Assert.Contains("MaxFilters", process.Output, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Defaults_are_valid()
    {
        await using var process = Run("config", "check");
        Assert.Equal(0, await process.WaitForExitAsync(Timeout));
    }

    [Theory]
    [InlineData("all", "--config", "no-such-file.json")]
    [InlineData("all", "--Relay:Kindz=All")]
    [InlineData("blossom", "--Blossom:Blobs=S3")]
    [InlineData("bogus")]
    [InlineData("all", "bogus")]
    public async Task Wrong_usage_and_wrong_settings_end_with_two(params string[] arguments)
    {
        await using var process = Run(arguments);
        Assert.Equal(2, await process.WaitForExitAsync(Timeout));
    }

    [Fact]
    public async Task A_bad_line_of_a_list_is_named_with_file_and_line_by_the_check_and_at_the_start()
    {
        using var folder = new TemporaryFolder();
        string list = folder.File("blocked");
        await File.WriteAllTextAsync(list, $"# blocked\n\n{new string('A', 64)} # upper case is fine\nnonsense\n");
        string[] settings = [$"--Blossom:BlockedHashesFile={list}", "--Blossom:AllowedKeys:0=npub1nonsense"];
        await using var check = Run(["config", "check", .. settings]);
        Assert.Equal(1, await check.WaitForExitAsync(Timeout));
        await using var start = Run(["blossom", $"--Storage:DataDirectory={folder.Path}", .. settings]);
        Assert.Equal(2, await start.WaitForExitAsync(Timeout));
        foreach (string output in (string[])[check.Output, start.Output])
        {
            Assert.Contains($"settings: Blossom:BlockedHashesFile: {list}, line 4: expected 64 hex digits", output, StringComparison.Ordinal);
            Assert.Contains("settings: Blossom:AllowedKeys:0: expected 64 hex digits or an npub", output, StringComparison.Ordinal);
            Assert.DoesNotContain(" at Marmot.", output, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void Every_setting_stands_in_the_page_of_defaults()
    {
        string page = File.ReadAllText(Path.Combine(MarmotServerProcess.RepositoryRoot, "docs", "defaults.md"));
        Type[] roots =
        [
            typeof(Hosting.Settings.PublicOptions), typeof(Hosting.Settings.AdminOptions), typeof(Hosting.Settings.StorageOptions),
            typeof(Hosting.Settings.LogOptions),
            typeof(Hosting.Settings.TelemetryOptions), typeof(Hosting.Cluster.ClusterOptions), typeof(Relay.RelayOptions), typeof(Blossom.BlossomOptions),
            typeof(NotifyServer.NotifyOptions), typeof(NotifyServer.NotifyAppOptions), typeof(NotifyServer.ApnsOptions), typeof(NotifyServer.FcmOptions),
        ];
        var missing = roots.SelectMany(Settings).Distinct().Select(name => ":" + name + "`").Where(name => !page.Contains(name, StringComparison.Ordinal));
        Assert.Empty(missing);
    }

    // A setting is a property that can be set; one of our own classes is a group of settings.
    private static IEnumerable<string> Settings(Type type) => type.GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .Where(property => property.CanWrite)
        .SelectMany(property => property.PropertyType is { IsClass: true, Namespace: { } space } group && space.StartsWith("Marmot.", StringComparison.Ordinal)
            ? Settings(group)
            : [property.Name]);

    private static ChildProcess Run(params string[] arguments) => ChildProcess.Start("dotnet", [Program, .. arguments]);
}
