using Marmot.Hosting.Settings;
using Microsoft.Extensions.Configuration;

namespace Marmot.Hosting.Tests.Settings;

public class SettingsSectionsTests
{
    private static readonly SettingsSection[] Sections = [new("Public", typeof(PublicOptions)), new("Sample", typeof(SampleOptions))];

    [Fact]
    public void A_known_key_in_any_case_is_no_mistake() =>
        Assert.Empty(Find(("Public:urls", "http://127.0.0.1:1"), ("SAMPLE:Apps:0:Name", "a"), ("Sample:Inner:Count", "3"), ("Sample:Words:0", "x")));

    [Theory]
    [InlineData("Public:Url", "Public:Url: no such setting. Did you mean Public:Urls?")]
    [InlineData("Public:Orgin", "Public:Orgin: no such setting. Did you mean Public:Origin?")]
    [InlineData("Sample:Apps:0:Nane", "Sample:Apps:0:Nane: no such setting. Did you mean Sample:Apps:0:Name?")]
    [InlineData("Sample:Inner:Cuont", "Sample:Inner:Cuont: no such setting. Did you mean Sample:Inner:Count?")]
    public void An_unknown_key_is_named_with_the_nearest_right_one(string key, string sentence) => Assert.Equal([sentence], Find((key, "1")));

    [Fact]
    public void All_mistakes_come_at_once() => Assert.Equal(2, Find(("Public:A", "1"), ("Sample:B", "1")).Count);

    [Fact]
    public void Sections_of_others_are_left_alone() => Assert.Empty(Find(("PATH", "/bin"), ("Logging:LogLevel:Default", "Debug")));

    private static IReadOnlyList<string> Find(params (string Key, string Value)[] settings) => SettingsSections.FindUnknownKeys(
        new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value))).Build(), Sections);

    private sealed class SampleOptions
    {
        public List<SampleApp> Apps { get; } = [];

        public SampleInner Inner { get; } = new();

        public string[] Words { get; set; } = [];
    }

    private sealed class SampleApp
    {
        public string Name { get; set; } = "";
    }

    private sealed class SampleInner
    {
        public int Count { get; set; }
    }
}
