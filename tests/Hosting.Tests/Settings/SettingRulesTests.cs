using Marmot.Hosting.Settings;

namespace Marmot.Hosting.Tests.Settings;

public sealed class SettingRulesTests
{
    [Theory]
    [InlineData("wss://relay.example", true)]
    [InlineData("https://bücher.example:8443", true)]
    [InlineData("http://[::1]:80", true)]
    [InlineData("http://my_container:80", true)]
    [InlineData("", true)]
    [InlineData("wss://xn--ü", false)]
    [InlineData("wss://a..b", false)]
    [InlineData("wss://foo:99999", false)]
    [InlineData("wss://relay.example/path", false)]
    [InlineData("ftp://relay.example", false)]
    public void An_origin_with_a_bad_host_is_refused(string text, bool taken) => Assert.Equal(taken, new OriginAttribute().IsValid(text));

    [Theory]
    [InlineData("http://collector:4317/v1", true)]
    [InlineData("http://xn--ü:4317", false)]
    [InlineData("wss://collector", false)]
    public void A_url_with_a_bad_host_is_refused(string text, bool taken) => Assert.Equal(taken, new HttpUrlAttribute().IsValid(text));
}
