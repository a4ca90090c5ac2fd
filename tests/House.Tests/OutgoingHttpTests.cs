using System.Text.RegularExpressions;

namespace Marmot.House.Tests;

public partial class OutgoingHttpTests
{
    private static readonly string[] Servers = ["Hosting", "Relay", "Blossom", "NotifyServer", "AllInOne"];

    [Fact]
    public void Servers_make_their_http_clients_in_one_place()
    {
        var place = Path.Combine("src", "Hosting", "Outgoing", "OutgoingHttp.cs");
        var files = Servers.SelectMany(server => Repository.Files("*.cs")
            .Where(file => Path.GetRelativePath(Repository.Root, file)
                .StartsWith(Path.Combine("src", server) + Path.DirectorySeparatorChar, StringComparison.Ordinal))).ToList();
        Assert.Contains(files, file => file.EndsWith(place, StringComparison.Ordinal) && Client().IsMatch(File.ReadAllText(file)));
        Assert.DoesNotContain(files, file => !file.EndsWith(place, StringComparison.Ordinal) && Client().IsMatch(File.ReadAllText(file)));
    }

    [GeneratedRegex(@"new (HttpClient|SocketsHttpHandler|HttpClientHandler|HttpMessageInvoker|WebClient)\b|ActivityHeadersPropagator")]
    private static partial Regex Client();
}
