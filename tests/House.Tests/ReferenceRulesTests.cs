using System.Xml.Linq;

namespace Marmot.House.Tests;

public class ReferenceRulesTests
{
    /// <summary>Who may refer to whom inside src; see docs/architecture.md.</summary>
    public static TheoryData<string, string[]> Allowed => new()
    {
        { "Platform", [] },
        { "Protocol", ["Platform"] },
        { "Mls", ["Platform"] },
        { "Terminal", [] },
        { "Hosting", ["Platform", "Protocol", "Terminal"] },
        { "Relay", ["Platform", "Protocol", "Terminal", "Hosting"] },
        { "Blossom", ["Platform", "Protocol", "Terminal", "Hosting"] },
        { "NotifyServer", ["Platform", "Protocol", "Terminal", "Hosting"] },
        { "ProviderSimulators", ["Platform", "Terminal"] },
        { "Client", ["Platform", "Protocol", "Mls"] },
        { "Cli", ["Platform", "Protocol", "Terminal", "Client"] },
        { "AllInOne", ["Platform", "Protocol", "Terminal", "Hosting", "Relay", "Blossom", "NotifyServer", "ProviderSimulators", "Client"] },
    };

    [Theory]
    [MemberData(nameof(Allowed))]
    public void A_project_refers_only_to_what_stands_left_of_it(string project, string[] allowed)
    {
        var references = XDocument.Load(Path.Combine(Repository.Root, "src", project, project + ".csproj"))
            .Descendants("ProjectReference")
            .Select(reference => Path.GetFileNameWithoutExtension(reference.Attribute("Include")!.Value.Replace('\\', '/')));
        Assert.Empty(references.Except(allowed));
    }

    [Fact]
    public void Every_project_in_src_has_a_rule() =>
        Assert.Equal(
            Directory.GetDirectories(Path.Combine(Repository.Root, "src")).Select(Path.GetFileName).Order(StringComparer.Ordinal),
            Allowed.Select(row => (string)row[0]).Order(StringComparer.Ordinal));

    [Fact]
    public void Package_versions_stand_only_in_the_central_file()
    {
        var offenders = Repository.Files("*.csproj")
            .Where(file => XDocument.Load(file).Descendants("PackageReference").Any(package => package.Attribute("Version") is not null));
        Assert.Empty(offenders);
    }
}
