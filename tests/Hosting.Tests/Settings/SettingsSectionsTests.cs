using System.ComponentModel.DataAnnotations;
using Marmot.Hosting.Settings;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Options;

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

    [Theory]
    [InlineData("Sample:Inner:Count", "-1", "Sample:Inner:Count: -1 must lie between 0 and 10.")]
    [InlineData("Sample:Inner:Count", "many", "Sample:Inner:Count: 'many' is not a whole number of its size.")]
    [InlineData("Sample:Inner:Count", "99999999999", "Sample:Inner:Count: '99999999999' is not a whole number of its size.")]
    [InlineData("Sample:Apps:0:Name", "", "Sample:Apps:0:Name: must not be empty.")]
    [InlineData("Sample:Inner:Day", "Someday", "Sample:Inner:Day: 'Someday' is not one of Sunday, Monday, Tuesday, Wednesday, Thursday, Friday, Saturday.")]
    [InlineData("Sample:Inner:Wait", "soon",
        "Sample:Inner:Wait: 'soon' is not a time span (hours:minutes:seconds, days in front with a dot: 00:05:00, 30.00:00:00).")]
    public void A_value_that_cannot_be_is_named_with_its_key(string key, string value, string sentence) => Assert.Equal([sentence], Find((key, value)));

    [Fact]
    public void An_empty_value_leaves_the_default() => Assert.Empty(Find(("Sample:Inner:Count", "")));

    [Fact]
    public void Options_read_without_the_check_say_the_same()
    {
        using var services = new ServiceCollection()
            .AddSingleton<IConfiguration>(new ConfigurationBuilder().AddInMemoryCollection([KeyValuePair.Create("Sample:Inner:Count", (string?)"11")]).Build())
            .AddSettings<SampleOptions>("Sample").BuildServiceProvider();

        var refusal = Assert.Throws<OptionsValidationException>(() => services.GetRequiredService<IOptions<SampleOptions>>().Value);

        Assert.Equal(["Sample:Inner:Count: 11 must lie between 0 and 10."], refusal.Failures);
    }

    [Fact]
    public void All_mistakes_come_at_once() => Assert.Equal(2, Find(("Public:A", "1"), ("Sample:B", "1")).Count);

    [Fact]
    public void Sections_of_others_are_left_alone() => Assert.Empty(Find(("PATH", "/bin"), ("Logging:LogLevel:Default", "Debug")));

    private static IReadOnlyList<string> Find(params (string Key, string Value)[] settings) => SettingsSections.FindMistakes(
        new ConfigurationBuilder().AddInMemoryCollection(settings.Select(setting => KeyValuePair.Create(setting.Key, (string?)setting.Value)))
            .Build(), Sections);

    private sealed class SampleOptions
    {
        public List<SampleApp> Apps { get; } = [];

        public SampleInner Inner { get; } = new();

        public string[] Words { get; set; } = [];
    }

    private sealed class SampleApp
    {
        [Required]
        public string Name { get; set; } = "";
    }

    private sealed class SampleInner
    {
        [Range(0, 10)]
        public int Count { get; set; }

        public DayOfWeek Day { get; set; }

        public TimeSpan Wait { get; set; }
    }
}
